"""Baselines as a partitioned asset."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.rows import evaluation, insert, span

FIRST, LAST = date(2026, 3, 2), date(2026, 3, 31)


def test_a_month_in_one_run(settings: Settings, definitions: dg.Definitions) -> None:
    """Thirty partitions, one run: each says how many baselines its day has, and the store says the same."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    loaded = datetime.now(UTC).date()
    hours = [start + timedelta(hours=h) for h in range(0, 30 * 24, 3)]
    with connect(settings) as client:
        insert(client, "llm_traces", *(span(h, retention_start=loaded) for h in hours))
        insert(client, "llm_evaluations", *(evaluation(h, retention_start=loaded) for h in hours))
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def("baselines_job")
        result = job.execute_in_process(
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": str(FIRST),
                "dagster/asset_partition_range_end": str(LAST),
            },
        )
        assert result.success
        events = result.asset_materializations_for_node("ewma_baselines")
    days = [FIRST + timedelta(days=n) for n in range(30)]
    reported = {e.partition: e.metadata["dagster/partition_row_count"].value for e in events}
    assert set(reported) == {str(day) for day in days}
    assert {e.metadata["days"].value for e in events} == {30}
    with connect(settings) as client:
        stored = client.query(
            "SELECT toString(as_of), count() FROM kpi_baselines FINAL GROUP BY as_of"
        ).result_rows
    assert dict(stored) == reported
    assert min(reported.values()) > 0
    assert {e.metadata["rows"].value for e in events} == {sum(reported.values())}


def test_schedule_computes_the_day_that_begins(definitions: dg.Definitions) -> None:
    """At five past midnight it asks for today: a partition by then, like the thirty days before."""
    from orchestration.defs.baselines.assets import PARTITIONS
    from orchestration.defs.baselines.schedules import daily_baselines_schedule

    at = datetime(2026, 3, 29, 0, 5, tzinfo=UTC)
    request = daily_baselines_schedule(dg.build_schedule_context(scheduled_execution_time=at))
    assert isinstance(request, dg.RunRequest)
    keys = PARTITIONS.get_partition_keys(current_time=at)
    assert request.partition_key == keys[-1] == "2026-03-29"
    assert "2026-02-27" in keys
