"""The screens: Dash pages over the rollups, served by ``python -m assay.dashboard``.

A page is a folder (``queries.py``, ``figures.py``, ``layout.py``, ``callbacks.py``) and one entry in
``pages.PAGES``. Queries run only while a browser asks.
"""
