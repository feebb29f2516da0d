from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from assay.dashboard.overview import kpis
from assay.dashboard.overview.selection import Evaluator

JUDGE = Evaluator("judge", "2")


def totals(*rows: dict[str, Any]) -> pd.DataFrame:
    full: dict[str, Any] = {
        "previous": 0,
        "request_count": 200,
        "error_count": 3,
        "unpriced_count": 0,
        "cost_usd": Decimal("12.5"),
        "cache_hit_rate": 0.42,
        "cost_p50_usd": 0.0047,
        "latency_p50_ms": 900.0,
        "latency_p95_ms": 1843.0,
        "velocity_p50": 68.4,
    }
    return pd.DataFrame([full | row for row in rows], columns=list(full))


def scores(*rows: dict[str, Any]) -> pd.DataFrame:
    full: dict[str, Any] = {
        "previous": 0,
        "evaluator": "judge",
        "evaluator_version": "2",
        "evaluation_count": 50,
        "unknown_count": 1,
        "quality_mean": 0.87,
    }
    return pd.DataFrame([full | row for row in rows], columns=list(full))


def tiles(of: pd.DataFrame, judged: pd.DataFrame, evaluator: Evaluator | None = None) -> dict[str, kpis.Tile]:
    return {tile.key: tile for tile in kpis.tiles(of, judged, evaluator)}


def test_figures_of_the_shown_window() -> None:
    found = tiles(totals({}), scores({}))
    assert {key: tile.value for key, tile in found.items()} == {
        "cost_usd": "$12.50",
        "request_count": "200",
        "cost_p50_usd": "$0.0047",
        "latency_p95_ms": "1.84 s",
        "velocity_p50": "68.4",
        "cache_hit_rate": "42.0%",
        "quality_mean": "0.870",
        "unpriced_share": "0%",
    }
    assert all(tile.known for tile in found.values())
    assert found["request_count"].note == "1.5% errors"
    assert found["quality_mean"].note == "50 scores"


def test_changes_from_the_window_before() -> None:
    before = {"previous": 1, "cost_usd": Decimal(10), "request_count": 400, "latency_p95_ms": None}
    found = tiles(totals({}, before), scores({}, {"previous": 1, "quality_mean": 0.9}))
    assert found["cost_usd"].change == pytest.approx(0.25)
    assert found["request_count"].change == pytest.approx(-0.5)
    assert found["quality_mean"].change == pytest.approx(0.87 / 0.9 - 1)
    assert found["latency_p95_ms"].change is None


def test_what_is_not_known_is_said_in_words() -> None:
    unknown = dict.fromkeys(
        ["cost_usd", "cache_hit_rate", "cost_p50_usd", "latency_p50_ms", "latency_p95_ms", "velocity_p50"]
    )
    found = tiles(totals(unknown | {"unpriced_count": 200}), scores())
    words = {key: tile.value for key, tile in found.items() if not tile.known}
    assert words == {
        "cost_usd": "no price",
        "cost_p50_usd": "no price",
        "latency_p95_ms": "not reported",
        "velocity_p50": "not reported",
        "cache_hit_rate": "not reported",
        "quality_mean": "not judged",
    }
    assert found["unpriced_share"].value == "100%"
    assert found["unpriced_share"].flagged


def test_no_traffic_is_no_data_and_not_zero() -> None:
    found = tiles(totals(), scores())
    assert {tile.value for tile in found.values()} == {"no data"}
    assert not any(tile.known for tile in found.values())


def test_part_of_the_calls_without_a_price_is_flagged() -> None:
    found = tiles(totals({"unpriced_count": 20}), scores())
    assert found["cost_usd"].note == "20 calls unpriced"
    assert found["unpriced_share"].value == "10.0%"
    assert found["unpriced_share"].flagged


@pytest.mark.parametrize(("rate", "flagged"), [(0.29, True), (0.3, False), (None, False)])
def test_low_cache_hit_rate_is_flagged(rate: float | None, flagged: bool) -> None:
    assert tiles(totals({"cache_hit_rate": rate}), scores())["cache_hit_rate"].flagged is flagged


def test_evaluators_are_not_mixed() -> None:
    judged = scores({}, {"evaluator": "regex", "evaluation_count": 10, "quality_mean": 0.5})
    assert kpis.most_used(judged) == JUDGE
    assert tiles(totals({}), judged)["quality_mean"].value == "0.870"
    assert tiles(totals({}), judged, Evaluator("regex", "2"))["quality_mean"].value == "0.500"
    assert tiles(totals({}), judged, Evaluator("other", "1"))["quality_mean"].value == "not judged"


def test_scores_of_the_window_before_do_not_choose_the_evaluator() -> None:
    assert kpis.most_used(scores({"previous": 1})) is None
