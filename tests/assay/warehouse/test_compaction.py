"""Compaction changes how rollups lie on disk, and nothing that is read from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse import corrections
from assay.warehouse.client import connect
from assay.warehouse.compaction import compact, is_settled
from tests.support.days import call, insert

NOW = datetime.now(UTC)
# The middle of a month that is over for long, and one of this month.
OLD = (NOW - timedelta(days=100)).replace(day=10, hour=0, minute=0, second=0, microsecond=0)
MONTH = f"{OLD:%Y%m}"
KEPT = ("llm_kpi_1d", "llm_kpi_1h", "llm_quality_1d", "llm_quality_1h", "llm_spend_15min")


@pytest.mark.parametrize(
    ("month", "day", "settled"),
    [
        ("202601", "2026-02-08", False),
        ("202601", "2026-02-09", True),
        ("202602", "2026-03-08", False),
        ("202602", "2026-03-09", True),
        ("202512", "2026-01-08", False),
        ("202512", "2026-01-09", True),
        ("202602", "2026-02-28", False),
        ("202603", "2026-02-28", False),
    ],
)
def test_a_month_is_settled_once_nothing_can_be_late(month: str, day: str, settled: bool) -> None:
    assert is_settled(month, datetime.fromisoformat(f"{day}T00:00:00+00:00")) is settled


def store(settings: Settings, begin: datetime, blocks: int, name: str) -> None:
    """Calls of three tenants in so many blocks over the same days, and a score of every call."""
    for number in range(blocks):
        calls = [
            call(
                n,
                trace_id=f"{name}-{number}-{n}",
                timestamp=begin + timedelta(hours=n, minutes=number),
                billed=True,
            )
            for n in range(120)
        ]
        insert(settings, "llm_traces", calls)
        insert(settings, "llm_evaluations", [score(n, row) for n, row in enumerate(calls)])


def score(number: int, row: dict[str, Any]) -> dict[str, Any]:
    fields = (
        "tenant_id",
        "model",
        "prompt_template_version",
        "experiment_id",
        "trace_id",
        "span_id",
        "timestamp",
    )
    return {
        **{name: row[name] for name in fields},
        "span_timestamp": row["timestamp"],
        "evaluator": "judge",
        "evaluator_version": "v1",
        "score": None if number % 40 == 0 else (number % 101) / 100,
        # Weights that are no sums of powers of two: what cancels out leaves its rounding.
        "sampling_rate": 0.3 if number % 2 else 0.7,
        "source": "judge",
        "retention_start": NOW.date(),
    }


def read(client: Client) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is counted of whom anything is counted, with percentiles."""
    kpi = (
        "SELECT tenant_id, model, cohort, sum(request_count) AS n, sum(error_count), sum(cost_usd), "
        "sum(prompt_tokens), sum(cached_tokens), sum(reasoning_tokens), "
        "assay_quantile(sumMap(cost_histogram), 0.5), assay_quantile(sumMap(latency_histogram), 0.95), "
        "assay_quantile(sumMap(completion_ratio_histogram), 0.99) "
        "FROM {} GROUP BY tenant_id, model, cohort HAVING n != 0 ORDER BY ALL"
    )
    quality = (
        "SELECT tenant_id, model, cohort, sum(evaluation_count) AS n, sum(unknown_count) AS u, "
        "round(sum(score_weight), 9), round(sum(weighted_score), 9), "
        "assay_score_quantile(sumMap(score_histogram), 0.5) "
        "FROM {} GROUP BY tenant_id, model, cohort HAVING n != 0 OR u != 0 ORDER BY ALL"
    )
    spend = (
        "SELECT tenant_id, model, is_priced, sum(request_count) AS n, sum(cost_usd), sum(uncached_tokens) "
        "FROM {} GROUP BY tenant_id, model, is_priced HAVING n != 0 ORDER BY ALL"
    )
    sql = {"llm_kpi": kpi, "llm_quality": quality, "llm_spend": spend}
    return {table: client.query(sql[table.rpartition("_")[0]].format(table)).result_rows for table in KEPT}


def erase(client: Client, tenant: str) -> None:
    for table in corrections.CORRECTED:
        corrections.erase(
            client,
            table,
            correction_id=f"gone_{table}_{tenant}",
            where="tenant_id = {tenant:String}",
            parameters={"tenant": tenant},
            reason="test",
            actor="test",
        )


def parts(client: Client, month: str) -> dict[str, int]:
    rows = client.query(
        "SELECT table, count() FROM system.parts WHERE database = currentDatabase() AND active AND rows > 0 "
        "AND partition_id = {month:String} AND table IN {kept:Array(String)} GROUP BY table",
        parameters={"month": month, "kept": list(KEPT)},
    ).result_rows
    return dict(rows)


@pytest.fixture
def corrected(built: Settings) -> Iterator[Client]:
    """A month that is over and this one, without the tenant that was in both."""
    with connect(built) as client:
        for table in KEPT:
            client.command(f"SYSTEM STOP MERGES {table}")
        store(built, OLD, 4, "old")
        store(built, NOW - timedelta(hours=1), 1, "new")
        erase(client, "org_1")
        for table in KEPT:
            client.command(f"SYSTEM START MERGES {table}")
        yield client


def test_sums_and_percentiles_stay_and_parts_and_rows_go(corrected: Client) -> None:
    before, this_month = read(corrected), parts(corrected, f"{NOW:%Y%m}")
    assert {len(rows) > 0 for rows in before.values()} == {True}
    done = [month for month in compact(corrected, NOW) if month.month == MONTH]
    assert read(corrected) == before
    assert parts(corrected, MONTH) == dict.fromkeys(KEPT, 1)
    assert {month.table for month in done} >= set(KEPT)
    for month in done:
        assert month.parts_after == 1
        assert month.rows_after < month.rows_before
    # Of the tenant nothing is left in the month that is over; in this one its rows of zero stay for now.
    for table in KEPT:
        of_tenant = f"SELECT uniqExact(toYYYYMM(period_start)) FROM {table} WHERE tenant_id = 'org_1'"
        assert corrected.query(f"{of_tenant} AND toYYYYMM(period_start) = {MONTH}").first_row[0] == 0
        assert corrected.query(of_tenant).first_row[0] >= 1
    assert this_month.keys() == parts(corrected, f"{NOW:%Y%m}").keys()
    assert compact(corrected, NOW) == []


def test_a_correction_that_gets_in_between_is_counted(corrected: Client) -> None:
    """The rows of a changed price count no request, and still something."""
    before = read(corrected)
    entered = []

    @contextmanager
    def guard() -> Iterator[None]:
        if not entered:
            entered.append(1)
            changed = corrections.correct(
                corrected,
                "llm_traces",
                correction_id="price",
                where="tenant_id = 'org_2' AND cost_usd IS NOT NULL",
                new={"cost_usd": "cost_usd + toDecimal128(1, 12)"},
                reason="test",
                actor="test",
            )
            assert changed > 0
        yield

    compact(corrected, NOW, guard=guard)
    assert entered
    # The correction's rows lie beside the compacted parts; the next time they are merged.
    for _ in range(2):
        raw = dict(
            corrected.query(
                "SELECT tenant_id, sum(sign * cost_usd) FROM llm_traces GROUP BY tenant_id "
                "HAVING sum(sign) > 0"
            ).result_rows
        )
        for table in ("llm_kpi_1d", "llm_kpi_1h", "llm_spend_15min"):
            rolled: dict[str, Decimal] = dict(
                corrected.query(
                    f"SELECT tenant_id, sum(cost_usd) FROM {table} GROUP BY tenant_id "
                    "HAVING sum(request_count) > 0"
                ).result_rows
            )
            assert rolled == raw
        compact(corrected, NOW)
    assert read(corrected)["llm_quality_1d"] == before["llm_quality_1d"]
    assert parts(corrected, MONTH) == dict.fromkeys(KEPT, 1)
