"""Traffic, incidents, doubles of outside services and readers of public traces. Nothing here is real traffic.

Everything generated carries the source ``simulator``, so that every screen can say so.
"""
