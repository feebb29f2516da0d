"""Quality scores: heuristics, judge, sampling, calibration. No Dagster inside."""
