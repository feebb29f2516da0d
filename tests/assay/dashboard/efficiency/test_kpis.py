from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from assay.dashboard.efficiency import kpis
from assay.dashboard.tiles import Tile
from tests.assay.dashboard.efficiency.answers import UNKNOWN, row, table


def tiles(**fields: Any) -> dict[str, Tile]:
    return {tile.key: tile for tile in kpis.tiles(table(row(**fields)))}


def test_every_figure_with_what_it_rests_on() -> None:
    assert {key: (tile.value, tile.note) for key, tile in tiles().items()} == {
        "cost_usd": ("$36.00", "1,200 calls"),
        "normalized_per_call_usd": ("$0.015", "per call; human-time, n = 7"),
        "completion_ratio": ("0.215", "1 spike, 2 drops"),
        "cache_hit_rate": ("50.0%", "of prompt tokens"),
        "missed_discount_usd": ("$0", "nothing below the floor"),
        "cost_per_conversion_usd": ("$2.00", "18 converted traces"),
        "escalation_rate": ("1.0%", "12 escalated traces"),
        "cost_per_session_usd": ("$0.40", "90 sessions, all calls"),
    }
    assert all(tile.known for tile in tiles().values())
    assert [key for key, tile in tiles().items() if tile.flagged] == ["completion_ratio"]


def test_unknown_is_not_zero_and_says_what_to_do() -> None:
    found = tiles(**UNKNOWN)
    assert {key: (tile.value, tile.note) for key, tile in found.items()} == {
        "cost_usd": ("no price", "1,200 calls unpriced"),
        "normalized_per_call_usd": ("complexity unknown", "time its tasks: assay load task-times"),
        "completion_ratio": ("not reported", "no day to compare with yet"),
        "cache_hit_rate": ("not reported", "of prompt tokens"),
        "missed_discount_usd": ("not reported", "no call says what it read"),
        "cost_per_conversion_usd": ("not sent", "no tenant in view sends any"),
        "escalation_rate": ("not sent", "no tenant in view sends any"),
        "cost_per_session_usd": ("no sessions", "no call names one"),
    }
    assert not any(tile.known or tile.flagged for tile in found.values())


def test_no_calls_is_no_data() -> None:
    found = tiles(**UNKNOWN | {"request_count": None, "unpriced_count": None, "unknown_tasks": []})
    assert {(tile.value, tile.note, tile.known) for tile in found.values()} == {("no data", "", False)}


@pytest.mark.parametrize(
    ("fields", "value", "note", "flagged"),
    [
        ({"missed_discount_usd": Decimal("3"), "missed_sources": ["list"]}, "$3.00", "at list prices", True),
        (
            {"missed_discount_usd": Decimal("3"), "missed_sources": ["list"], "missed_unknown": 2},
            "$3.00",
            "at list prices, * some without a price",
            True,
        ),
        ({"missed_unknown": 2}, "$0", "* some without a price", False),
        (
            {"missed_discount_usd": None, "missed_unknown": 2},
            "no price",
            "* some without a price",
            False,
        ),
    ],
)
def test_missed_discount(fields: dict[str, Any], value: str, note: str, flagged: bool) -> None:
    tile = tiles(**fields)["missed_discount_usd"]
    assert (tile.value, tile.note, tile.flagged) == (value, note, flagged)


def test_a_low_hit_rate_is_flagged() -> None:
    tile = tiles(cache_hit_rate=0.2)["cache_hit_rate"]
    assert (tile.value, tile.note, tile.flagged) == ("20.0%", "low: below 30%", True)


def test_days_without_a_flag_are_quiet() -> None:
    tile = tiles(spike_days=0, drop_days=0, flagged_days=0)["completion_ratio"]
    assert (tile.note, tile.flagged) == ("none", False)
