"""Repricing as a partitioned asset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import dagster as dg
import pytest

from assay.pricing import store
from assay.pricing.overrides import Override
from assay.settings import Settings, load_settings
from assay.warehouse.client import connect
from tests.support.rows import insert, span
from tests.support.stores import Valkey

DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)


def call(at: datetime) -> dict[str, object]:
    """1,000 input and 200 output tokens of gpt-4o at 2.50 and 10."""
    return span(
        at,
        model="gpt-4o",
        provider="openai",
        pricing_tier="standard",
        cost_usd=Decimal("0.0045"),
        cost_status="priced",
        cost_reason="",
        cached_tokens=None,
        cache_write_tokens=None,
        cache_write_1h_tokens=None,
        units={},
    )


def test_days_are_repriced_in_one_run(
    settings: Settings, valkey: Valkey, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The days of the run and no others, raw rows and rollups alike; its metadata says what it changed."""
    monkeypatch.setenv("ASSAY_REDIS_URL", valkey.url)
    load_settings.cache_clear()
    with connect(settings) as client:
        insert(client, "llm_traces", *(call(DAY + timedelta(hours=hour)) for hour in range(-24, 72, 6)))
        store.add(
            client,
            Override(
                model="gpt-4o",
                token_class="output",
                price_usd=Decimal(20),
                valid_from=DAY - timedelta(days=9),
                source="contract",
            ),
        )
        with dg.DagsterInstance.ephemeral() as instance:
            result = definitions.resolve_job_def("reprice_job").execute_in_process(
                instance=instance,
                tags={
                    "dagster/asset_partition_range_start": f"{DAY:%F}",
                    "dagster/asset_partition_range_end": f"{DAY + timedelta(days=1):%F}",
                },
            )
            assert result.success
            events = result.asset_materializations_for_node("repriced_traces")
        metadata = events[0].metadata
        assert {event.partition for event in events} == {f"{DAY:%F}", f"{DAY + timedelta(days=1):%F}"}
        assert {name: metadata[name].value for name in ("days", "calls", "changed")} == {
            "days": 2,
            "calls": 8,
            "changed": 8,
        }
        assert metadata["before_usd"].value == "0.036000000000"
        assert metadata["after_usd"].value == "0.052000000000"
        (difference,) = metadata["differences"].records
        assert (difference.data["model"], difference.data["calls"]) == ("gpt-4o", 8)
        # 10 more for a million output tokens, of which each call has 200.
        by_day = [
            (DAY + timedelta(days=n), 4 * Decimal(cost))
            for n, cost in zip(range(-1, 3), ("0.0045", "0.0065", "0.0065", "0.0045"), strict=True)
        ]
        for source, day in (("llm_traces FINAL", "timestamp"), ("llm_kpi_1d", "period_start")):
            found = client.query(
                f"SELECT toStartOfDay({day}) AS day, sum(cost_usd) FROM {source} GROUP BY day ORDER BY day"
            ).result_rows
            assert [(f"{at:%F}", cost) for at, cost in found] == [(f"{at:%F}", cost) for at, cost in by_day]
