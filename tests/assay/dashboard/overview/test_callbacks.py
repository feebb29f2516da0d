from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from assay.dashboard.overview.callbacks import changed
from assay.dashboard.overview.selection import CUSTOM, Evaluator, Selection

NOW = datetime(2026, 3, 18, 14, 37, 12, tzinfo=UTC)

CONTROLS: dict[str, Any] = {
    "range": "1h",
    "since": None,
    "until": None,
    "group": "tenant_id",
    "evaluator": None,
    "cohort": "production",
    "tenants": [],
    "models": [],
    "templates": [],
}


@pytest.mark.parametrize(
    ("control", "values", "after"),
    [
        ("range", {"range": "7d"}, Selection(range="7d")),
        ("tenants", {"tenants": ["a", "b"]}, Selection(tenants=("a", "b"))),
        ("models", {"models": ["large"]}, Selection(models=("large",))),
        ("templates", {"templates": ["(none)"]}, Selection(templates=("(none)",))),
        ("tenants", {"tenants": None}, Selection()),
        ("group", {"group": "none"}, Selection(group_by=None)),
        ("group", {"group": "model"}, Selection(group_by="model")),
        ("evaluator", {"evaluator": "judge@2"}, Selection(evaluator=Evaluator("judge", "2"))),
        ("evaluator", {"evaluator": None}, Selection()),
        ("cohort", {"cohort": "experiment"}, Selection(cohort="experiment")),
        ("sort-cost_usd", {}, Selection(descending=False)),
        ("sort-quality_mean", {}, Selection(sort="quality_mean")),
        ("sort-tenant_id", {}, Selection(sort="tenant_id", descending=False)),
    ],
)
def test_a_control_changes_its_part(control: str, values: dict[str, Any], after: Selection) -> None:
    assert changed(Selection(), control, CONTROLS | values, NOW) == after


def test_a_control_leaves_the_rest_alone() -> None:
    before = Selection(range="6h", tenants=("a",), cohort="experiment", sort="model", descending=False)
    after = changed(before, "models", CONTROLS | {"models": ["large"]}, NOW)
    assert after == Selection(
        range="6h", tenants=("a",), models=("large",), cohort="experiment", sort="model", descending=False
    )


def test_custom_starts_from_what_is_shown() -> None:
    before = Selection(range="6h")
    after = changed(before, "range", CONTROLS | {"range": CUSTOM}, NOW)
    assert after.window(NOW) == before.window(NOW)
    assert not after.live


def test_picked_times_are_taken_when_they_make_an_interval() -> None:
    before = changed(Selection(), "range", CONTROLS | {"range": CUSTOM}, NOW)
    picked = {"since": "2026-03-01 08:00:00", "until": "2026-03-01 09:30:00"}
    after = changed(before, "from", CONTROLS | picked, NOW)
    assert after.since == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert after.until == after.since + timedelta(minutes=90)
    for wrong in ({"since": None}, {"until": "2026-03-01 07:00:00"}):
        assert changed(before, "to", CONTROLS | picked | wrong, NOW) == before


def test_a_live_range_ends_a_custom_one() -> None:
    before = changed(Selection(), "range", CONTROLS | {"range": CUSTOM}, NOW)
    assert changed(before, "range", CONTROLS | {"range": "15m"}, NOW) == Selection(range="15m")
