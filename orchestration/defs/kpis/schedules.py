"""When dbt runs. Views are current and rollups fed by inserts: what a run adds is new code and data tests."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.kpis.jobs import dbt_job

daily_dbt_schedule = dg.ScheduleDefinition(
    name="daily_dbt_schedule",
    job=dbt_job,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
