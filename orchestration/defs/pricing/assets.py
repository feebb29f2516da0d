"""Past calls at the prices that are known now: what would change, looked at daily; and the change itself, by
partition of a day of calls (UTC), when somebody asks for it.
"""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from assay.collector.writer.lock import Exclusive
from assay.pricing import store as price_store
from assay.pricing.catalogue import SOURCE
from assay.pricing.reprice import reprice
from orchestration.defs.pricing import differences
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
            run=context.run.run_id,
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


class Compared(dg.Config):
    """How much of the past to compare."""

    # More than a month back is closed and billed; each day more costs a pass over its calls.
    days: int = Field(default=30, ge=1, le=366)


@dg.asset(
    group_name=GROUP,
    kinds={"clickhouse"},
    deps=["llm_traces", "price_table"],
    check_specs=[
        dg.AssetCheckSpec(
            differences.CHECK,
            asset="price_changes",
            description="No newer price list or price waits for repriced_traces.",
        )
    ],
    description="What stored calls would cost at the prices that are known now. Changes nothing: "
    "to apply it, materialize repriced_traces.",
)
def price_changes(config: Compared, store: Store) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Compare the calls of the last days; fails with the date where raw rows have expired."""
    now = datetime.now(UTC)
    first = (now - timedelta(days=config.days)).replace(hour=0, minute=0, second=0, microsecond=0)
    with store.client() as client:
        prices = price_store.load(client)
        found = reprice(client, prices, first, now, dry_run=True)
    return dg.MaterializeResult(
        metadata={
            "price_list": SOURCE,
            "rows_beside_it": len(prices.rows),
            "calls": found.calls,
            "changed": found.changed,
            "before_usd": dg.MetadataValue.text(f"{found.before_usd:f}"),
            "after_usd": dg.MetadataValue.text(f"{found.after_usd:f}"),
            "differences": dg.MetadataValue.md(differences.markdown(found)),
        },
        check_results=[differences.check(found, f"{first:%Y-%m-%d}", f"{now:%Y-%m-%d}")],
        # The same prices, the same version: Dagster shows when either changed.
        data_version=dg.DataVersion(f"{SOURCE}, {prices.version}"),
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
