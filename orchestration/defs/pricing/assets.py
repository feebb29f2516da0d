"""Past calls at the prices that are known now, one partition per day of calls (UTC)."""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg

from assay.collector.writer.lock import Exclusive
from assay.pricing import store as price_store
from assay.pricing.reprice import reprice
from orchestration.resources import Store

GROUP = "pricing"

# Older than any traffic that one would load. `end_offset`: the calls of today can be repriced, too.
PARTITIONS = dg.DailyPartitionsDefinition(start_date="2023-01-01", timezone="UTC", end_offset=1)


@dg.asset(
    group_name=GROUP,
    kinds={"clickhouse"},
    deps=["llm_traces", "price_table"],
    partitions_def=PARTITIONS,
    # A range of days in one run: each run more starts two processes.
    backfill_policy=dg.BackfillPolicy.single_run(),
    # Two runs would find the same calls to change.
    pool="reprice",
    description="Cost of stored calls computed anew from their tokens, rollups with it, while others arrive.",
)
def repriced_traces(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """Reprice the days of this run's partitions; fails with the date where raw rows have expired."""
    days = [datetime.fromisoformat(key).replace(tzinfo=UTC) for key in context.partition_keys]
    began = time.monotonic()
    with store.client() as client:
        done = reprice(
            client,
            price_store.load(client),
            days[0],
            days[-1] + timedelta(days=1),
            guard=Exclusive(store.settings.redis, client),
            actor="dagster",
            run=context.run_id,
        )
    return dg.MaterializeResult(
        metadata={
            "days": len(days),
            "calls": done.calls,
            "changed": done.changed,
            "before_usd": dg.MetadataValue.text(f"{done.before_usd:f}"),
            "after_usd": dg.MetadataValue.text(f"{done.after_usd:f}"),
            "seconds": round(time.monotonic() - began, 3),
            "differences": dg.MetadataValue.table(
                [
                    dg.TableRecord(
                        {
                            "provider": row.provider,
                            "model": row.model,
                            "pricing_tier": row.pricing_tier,
                            "priced_by": row.stored_source,
                            "now_by": row.source,
                            "calls": row.calls,
                            "before_usd": "" if row.before_usd is None else f"{row.before_usd:f}",
                            "after_usd": "" if row.after_usd is None else f"{row.after_usd:f}",
                        }
                    )
                    for row in done.differences[:50]
                ],
                schema=_SCHEMA,
            ),
        }
    )


_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn(name, "int" if name == "calls" else "string")
        for name in (
            *("provider", "model", "pricing_tier", "priced_by", "now_by"),
            *("calls", "before_usd", "after_usd"),
        )
    ]
)
