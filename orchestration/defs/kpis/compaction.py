"""The job that compacts rollups of months that are over."""

from datetime import UTC, datetime

import dagster as dg

from assay.collector.writer.lock import Exclusive
from assay.warehouse.compaction import compact
from orchestration.resources import Store


@dg.op(description="One part a month, without rows that corrections left at zero. Writers go on.")
def compact_rollups(context: dg.OpExecutionContext, store: Store) -> None:
    """Compact what has changed since the last time."""
    with store.client() as client:
        done = compact(client, datetime.now(UTC), guard=Exclusive(store.settings.redis, client))
    context.add_output_metadata(
        {
            "months": len(done),
            "parts_before": sum(month.parts_before for month in done),
            "parts_after": sum(month.parts_after for month in done),
            "rows_before": sum(month.rows_before for month in done),
            "rows_after": sum(month.rows_after for month in done),
            "bytes_saved": sum(month.bytes_before - month.bytes_after for month in done),
        }
    )


@dg.job(description="Compact the rollups of months that are over.")
def compaction_job() -> None:
    """One step."""
    compact_rollups()
