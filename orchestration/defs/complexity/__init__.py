"""How much work a task is, from captured text."""
