"""One folder per subject, with the same file names in each: assets, checks, sensors, schedules, jobs."""
