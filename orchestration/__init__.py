"""Dagster: thin shells over the pure functions of the other packages."""
