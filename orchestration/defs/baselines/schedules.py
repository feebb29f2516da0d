"""Baselines of a day are computed as it begins."""

from datetime import UTC

import dagster as dg

from orchestration.defs.baselines.jobs import baselines_job


@dg.schedule(
    name="daily_baselines_schedule",
    job=baselines_job,
    # What is late by less than five minutes is in yesterday's hours by then.
    cron_schedule="5 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def daily_baselines_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Today's partition."""
    day = context.scheduled_execution_time.astimezone(UTC).date()
    return dg.RunRequest(partition_key=str(day))
