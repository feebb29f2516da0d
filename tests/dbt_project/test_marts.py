"""What the marts say about known rows, against the same figures computed here from the rows."""

from __future__ import annotations

import math
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.days import call, insert

CALLS = [call(n) for n in range(1000)]
BILLED = [c for c in CALLS if c["billed"]]


def rows(settings: Settings, sql: str) -> list[dict[str, Any]]:
    with connect(settings) as client:
        return list(client.query(sql).named_results())


def by(calls: list[dict[str, Any]], *names: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Calls by day and the named fields."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for each in calls:
        groups[(each["timestamp"].date(), *(each[n] for n in names))].append(each)
    return groups


def test_spend_is_the_sum_of_the_billed_calls(day: Settings) -> None:
    found = {(r["day"], r["tenant_id"], r["model"]): r for r in rows(day, "SELECT * FROM spend_daily")}
    wanted = by(BILLED, "tenant_id", "model")
    assert found.keys() == wanted.keys()
    for key, calls in wanted.items():
        row = found[key]
        assert row["cost_usd"] == sum((c["cost_usd"] or Decimal(0) for c in calls), Decimal(0))
        assert row["request_count"] == len(calls)
        assert row["unpriced_count"] == sum(c["cost_status"] == "unpriced" for c in calls)
        assert row["prompt_tokens"] == sum(c["prompt_tokens"] for c in calls)
    # The newest entry of a tenant counts; a tenant without an entry is there all the same.
    assert {(r["tenant_id"], r["tenant_name"], r["cost_centre"]) for r in found.values()} == {
        ("org_0", "Zero", "CC-7"),
        ("org_1", "org_1", ""),
        ("org_2", "org_2", ""),
    }


def test_cache_hit_rate_leaves_out_calls_that_do_not_report_it(day: Settings) -> None:
    found = rows(day, "SELECT * FROM cache_efficiency")
    wanted = by(BILLED, "tenant_id", "model", "prompt_template_version")
    assert len(found) == len(wanted)
    for row in found:
        calls = wanted[row["day"], row["tenant_id"], row["model"], row["prompt_template_version"]]
        reported = [c for c in calls if c["cached_tokens"] is not None]
        rate = sum(c["cached_tokens"] for c in reported) / sum(c["prompt_tokens"] for c in reported)
        assert row["cache_hit_rate"] == pytest.approx(rate)
        assert row["is_below_floor"] == (rate < 0.3)


@pytest.mark.parametrize("grain", ["minutely", "hourly", "daily"])
def test_kpis_keep_cohorts_apart_and_percentiles_within_one_percent(day: Settings, grain: str) -> None:
    found = rows(day, f"SELECT * FROM kpi_{grain}")
    assert sum(r["request_count"] for r in found) == len(BILLED)
    assert sum(r["request_count"] for r in found if r["cohort"] == "experiment") == sum(
        c["experiment_id"] != "" for c in BILLED
    )
    if grain != "daily":
        return
    wanted = by(
        [c | {"cohort": "experiment" if c["experiment_id"] else "production"} for c in BILLED],
        "tenant_id",
        "model",
        "cohort",
    )
    for row in found:
        calls = wanted[row["period_start"].date(), row["tenant_id"], row["model"], row["cohort"]]
        latencies = sorted(c["latency_ms"] for c in calls)
        for name, level in (("latency_p50_ms", 0.5), ("latency_p95_ms", 0.95), ("latency_p99_ms", 0.99)):
            exact = latencies[math.ceil(level * len(latencies)) - 1]
            assert row[name] == pytest.approx(exact, rel=0.0101)
        assert row["completion_ratio"] == pytest.approx(
            sum(c["completion_tokens"] for c in calls) / sum(c["prompt_tokens"] for c in calls)
        )


def test_quality_weighs_scores_by_their_sampling_rate(day: Settings) -> None:
    judged = [(n, (n % 101) / 100) for n in range(0, 1000, 4) if n % 40 != 0]
    (row,) = rows(
        day,
        "SELECT sum(evaluation_count) AS n, sum(unknown_count) AS unknown, "
        "sum(quality_mean * evaluation_count) / n AS mean FROM quality_daily",
    )
    assert (row["n"], row["unknown"]) == (len(judged), 25)
    assert row["mean"] == pytest.approx(sum(s for _, s in judged) / len(judged))


def test_an_outcome_costs_what_its_series_spent_that_day(day: Settings) -> None:
    found = rows(day, "SELECT * FROM outcomes_daily")
    converted = [CALLS[n] for n in range(1, 1000, 50) if CALLS[n]["billed"]]
    names = ("tenant_id", "model", "prompt_template_version")
    wanted, spend = by(converted, *names), by(BILLED, *names)
    assert len(found) == len(wanted)
    for row in found:
        key = (row["day"], *(row[n] for n in names))
        cost = sum((c["cost_usd"] or Decimal(0) for c in spend[key]), Decimal(0))
        assert row["outcome_count"] == len(wanted[key])
        assert row["cost_usd"] == cost
        assert row["cost_per_outcome_usd"] == pytest.approx(cost / len(wanted[key]), abs=Decimal("1e-11"))


def test_calibration_pairs_labels_with_scores_that_exist(day: Settings) -> None:
    found = rows(day, "SELECT * FROM calibration_set")
    assert {r["trace_id"] for r in found} == {f"trace-{n}" for n in range(0, 1000, 8) if n % 40 != 0}
    assert {r["human_score"] for r in found} == {0.5}


def test_a_correction_moves_every_mart_at_once(filled: Settings) -> None:
    """A call changes its price and another never was billed: nothing of them is left in the marts."""
    old = call(3)
    insert(
        filled,
        "llm_traces",
        [old | {"sign": -1}, old | {"cost_usd": Decimal("5"), "latency_ms": 9000.0}, call(4) | {"sign": -1}],
    )
    (spend,) = rows(filled, "SELECT sum(cost_usd) AS cost, sum(request_count) AS n FROM spend_daily")
    total = sum((c["cost_usd"] or Decimal(0) for c in BILLED), Decimal(0))
    assert spend["cost"] == total - old["cost_usd"] + 5 - (call(4)["cost_usd"] or 0)
    assert spend["n"] == len(BILLED) - 1
    histogram = "SELECT sumMap(latency_histogram) AS h FROM llm_kpi_1d"
    (row,) = rows(filled, histogram)
    assert sum(row["h"].values()) == len(BILLED) - 1
    assert min(row["h"].values()) >= 0
