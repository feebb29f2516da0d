"""Baselines, regression rules, the life of an alert, and who is told."""
