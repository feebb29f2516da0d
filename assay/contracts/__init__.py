"""What crosses a boundary: the records that Assay stores and the bodies that it speaks over HTTP.

The types here are the single definition. ``python -m assay.contracts`` writes them as JSON Schemas to
``schemas/``; a test holds the files, the ClickHouse schema and the HTTP service to them.
"""
