from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

from assay.dashboard.efficiency.callbacks import changed, edition, filled, key, nothing
from assay.dashboard.efficiency.selection import Selection, Template
from tests.assay.dashboard.efficiency.answers import day, days, row, table

NOW = datetime(2026, 3, 18, 14, 37, tzinfo=UTC)
BUILT = datetime(2026, 3, 18, 13, 45, tzinfo=UTC)

CONTROLS: dict[str, Any] = {"range": "30d", "drawn": None, "tenants": [], "models": [], "templates": []}


@pytest.mark.parametrize(
    ("control", "values", "after"),
    [
        ("range", {"range": "7d"}, Selection(range="7d")),
        ("tenants", {"tenants": ["a", "b"]}, Selection(tenants=("a", "b"))),
        ("models", {"models": ["large"]}, Selection(models=("large",))),
        ("templates", {"templates": None}, Selection()),
        ("drawn", {"drawn": key(Template("a", ""))}, Selection(drawn=Template("a", ""))),
        ("drawn", {"drawn": None}, Selection()),
        ("sort-missed_discount_usd", {}, Selection(descending=False)),
        ("sort-flagged_days", {}, Selection(sort="flagged_days")),
        ("sort-tenant_id", {}, Selection(sort="tenant_id", descending=False)),
    ],
)
def test_a_control_changes_its_part(control: str, values: dict[str, Any], after: Selection) -> None:
    assert changed(Selection(), control, CONTROLS | values) == after


def test_a_control_leaves_the_rest_alone() -> None:
    before = Selection(range="7d", tenants=("a",), drawn=Template("a", "v1"), sort="cost_usd")
    assert changed(before, "models", CONTROLS | {"models": ["large"]}) == Selection(
        range="7d", tenants=("a",), models=("large",), drawn=Template("a", "v1"), sort="cost_usd"
    )


@pytest.mark.parametrize("of", [Template("a", "v1"), Template('"a" · b', ""), Template("[", "]")])
def test_any_name_can_be_chosen(of: Template) -> None:
    assert Template(*json.loads(key(of))) == of


def test_a_new_build_and_a_new_day_change_what_is_shown() -> None:
    now = Selection().days(NOW)
    next_day = Selection().days(datetime(2026, 3, 19, tzinfo=UTC))
    found = {edition(built, shown) for built in (None, BUILT, NOW) for shown in (now, next_day)}
    assert len(found) == 6
    assert edition(BUILT, now) == edition(BUILT, Selection(range="7d").days(NOW))


def found(**more: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {
        "templates": table(row()),
        "totals": table(row()),
        "by_day": days(day()),
        "options": pd.DataFrame([{"tenants": ["acme"], "models": ["large"], "templates": ["", "rag-v1"]}]),
        "simulated": pd.DataFrame({"simulated": [1]}),
        "built": pd.DataFrame({"built": [pd.Timestamp(BUILT)]}),
        **more,
    }


def test_a_refresh_fills_all_that_it_may_leave_alone() -> None:
    selection = Selection(models=("gone",))
    of = Template("acme", "rag-v1")
    shown = filled(found(), selection, selection.days(NOW), of, "light", NOW)
    assert shown.keys() == nothing().keys()
    for part in ("options", "charts", "units"):
        assert shown[part].keys() == nothing()[part].keys()
    assert shown["notice"] == []
    assert shown["authentic"] is False
    # What was chosen stays on offer, also without traffic.
    assert shown["options"] == {
        "tenants": ["acme"],
        "models": ["gone", "large"],
        "templates": ["(none)", "rag-v1"],
    }
    assert shown["drawable"] == [{"value": key(of), "label": "acme · rag-v1"}]
    assert shown["hint"] == "acme · rag-v1"


def test_nothing_in_view_is_a_notice_and_no_template() -> None:
    nobody = found(templates=table(), by_day=days(), simulated=pd.DataFrame({"simulated": []}))
    shown = filled(nobody, Selection(), Selection().days(NOW), None, "dark", NOW)
    assert len(shown["notice"]) == 1
    assert (shown["authentic"], shown["flags"], shown["drawable"], shown["hint"]) == (True, [], [], "none")
