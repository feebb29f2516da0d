"""Captured text as vectors, and what they say about the complexity of tasks."""
