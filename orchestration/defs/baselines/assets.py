"""Baselines, one partition per day: what was normal for each series when that day began (UTC)."""

import time
from datetime import date, timedelta

import dagster as dg

from orchestration.resources import Store
from sensors import baselines
from sensors import policy as policies

GROUP = "baselines"

# Older than any traffic that one would load. `end_offset`: today is a partition, computed as the day begins.
PARTITIONS = dg.DailyPartitionsDefinition(start_date="2023-01-01", timezone="UTC", end_offset=1)


@dg.asset(
    group_name=GROUP,
    kinds={"clickhouse"},
    deps=["llm_kpi_1h", "llm_quality_1h"],
    partitions_def=PARTITIONS,
    # One set-based query computes any number of days: thirty runs would start sixty processes.
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=dg.FreshnessPolicy.cron(
        deadline_cron="0 1 * * *", lower_bound_delta=timedelta(hours=1), timezone="UTC"
    ),
    description="Exponentially weighted medians and spreads of cost and quality by series, frozen for a day.",
)
def ewma_baselines(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """Compute and store the days of this run's partitions."""
    days = [date.fromisoformat(key) for key in context.partition_keys]
    began = time.monotonic()
    with store.client() as client:
        rows = baselines.refresh(client, days[0], days[-1], policies.load(store.settings.policy_file))
    seconds = time.monotonic() - began
    for day in days:
        context.add_asset_metadata({"dagster/partition_row_count": rows.get(day, 0)}, partition_key=str(day))
    return dg.MaterializeResult(
        metadata={"days": len(days), "rows": sum(rows.values()), "seconds": round(seconds, 3)}
    )
