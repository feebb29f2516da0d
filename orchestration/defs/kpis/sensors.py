"""A sensor that tells Dagster what was built without it. It starts no run."""

import dagster as dg

from orchestration.defs.kpis import outside
from orchestration.manifest import target_dir
from orchestration.resources import Store


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports dbt models and baselines that were built outside Dagster.",
)
def outside_builds_sensor(context: dg.SensorEvaluationContext, store: Store) -> dg.SensorResult:
    """Runless materialisations of dbt models and of days of baselines."""
    with store.client() as client:
        days = outside.read_baselines(client)
    known = context.instance.get_materialized_partitions(dg.AssetKey(outside.BASELINES))
    report = outside.decide(
        outside.read_dbt_run(target_dir(store.settings)), days, frozenset(known), context.cursor or ""
    )
    return dg.SensorResult(asset_events=report.events, cursor=report.cursor, skip_reason=report.summary)
