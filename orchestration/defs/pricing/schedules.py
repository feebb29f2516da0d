"""What a newer price list or a new price would change is looked at daily; it is never applied by itself."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.pricing.jobs import price_changes_job

daily_price_changes_schedule = dg.ScheduleDefinition(
    name="daily_price_changes_schedule",
    job=price_changes_job,
    # After the marts, of which the price table is one.
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
