"""Dated prices and the cost of a call.

One facade, numpy in and numpy out: :func:`assay.pricing.calls.price`. Where rates come from is behind
:mod:`assay.pricing.catalogue`.
"""
