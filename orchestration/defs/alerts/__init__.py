"""Regressions, judged every half minute."""
