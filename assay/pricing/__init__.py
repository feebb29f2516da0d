"""Prices by date, and the cost of a call in exact decimals."""
