"""When dbt runs and rollups are compacted.

Views are current and rollups fed by inserts: what a run of dbt adds is new code and data tests. One mart is a
table, and as old as its last build.
"""

from __future__ import annotations

import dagster as dg

from orchestration.defs.kpis.compaction import compaction_job
from orchestration.defs.kpis.jobs import dbt_job, efficiency_job

daily_dbt_schedule = dg.ScheduleDefinition(
    name="daily_dbt_schedule",
    job=dbt_job,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

# Its figures are by the day. A run costs twenty seconds of a core, most of it the start of Dagster and dbt.
hourly_efficiency_schedule = dg.ScheduleDefinition(
    name="hourly_efficiency_schedule",
    job=efficiency_job,
    cron_schedule="45 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

# A month is settled on the 9th of the next: live records come up to seven days late. What was compacted and
# not corrected since is left alone, so every month costs no more than every year, and fewer parts are read.
monthly_compaction_schedule = dg.ScheduleDefinition(
    name="monthly_compaction_schedule",
    job=compaction_job,
    cron_schedule="30 4 9 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
