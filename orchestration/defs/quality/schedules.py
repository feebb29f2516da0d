"""Evaluators are recalibrated weekly against what people labelled since."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.quality.jobs import calibration_job

weekly_calibration_schedule = dg.ScheduleDefinition(
    name="weekly_calibration_schedule",
    job=calibration_job,
    cron_schedule="30 3 * * 1",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
