from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.dashboard.efficiency.selection import RANGES, SORTS, Selection, Template
from assay.dashboard.windows import Grain

NOW = datetime(2026, 3, 18, 14, 37, 12, tzinfo=UTC)

names = st.text(min_size=1, max_size=20).filter(lambda text: text.strip() == text)
filters = st.lists(names, max_size=3, unique=True).map(tuple)


@given(
    st.builds(
        Selection,
        tenants=filters,
        models=filters,
        templates=filters,
        range=st.sampled_from(sorted(RANGES)),
        drawn=st.none() | st.builds(Template, names, names | st.just("")),
        sort=st.sampled_from(SORTS),
        descending=st.booleans(),
    )
)
def test_address_and_back(selection: Selection) -> None:
    found = Selection.of(parse_qs(selection.query().removeprefix("?")))
    assert found.shown == selection.shown
    assert found.query() == selection.query()
    for field in ("tenants", "models", "templates", "range", "sort", "descending"):
        assert getattr(found, field) == getattr(selection, field)


def test_default_needs_no_query() -> None:
    assert Selection().query() == ""
    assert Selection().href == "/efficiency"


@pytest.mark.parametrize(
    "query",
    [
        {"range": "1h"},
        {"range": "custom"},
        {"of_template": "rag-v1"},
        {"sort": "-1; DROP TABLE efficiency_daily"},
        {"group": "model"},
    ],
)
def test_what_is_not_understood_is_left_at_its_default(query: dict[str, str]) -> None:
    assert Selection.of(query) == Selection()


@pytest.mark.parametrize(
    ("range_", "first"), [("7d", date(2026, 3, 12)), ("30d", date(2026, 2, 17))], ids=["week", "month"]
)
def test_a_range_is_of_whole_days_up_to_the_one_that_runs(range_: str, first: date) -> None:
    days = Selection(range=range_).days(NOW)
    assert (days.first, days.last) == (first, date(2026, 3, 18))
    assert len(days.periods) == RANGES[range_]
    assert days.step == timedelta(days=1)
    assert days.grain is Grain.DAY


def test_days_are_those_of_utc() -> None:
    east = datetime(2026, 3, 19, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert Selection().days(east).last == date(2026, 3, 18)


@pytest.mark.parametrize(
    ("filters_", "kept"),
    [
        ({}, True),
        ({"tenants": ("acme",)}, True),
        ({"tenants": ("globex", "acme")}, True),
        ({"tenants": ("globex",)}, False),
        ({"templates": ("(none)",)}, True),
        ({"templates": ("chat",)}, False),
        ({"models": ("large",)}, True),
    ],
)
def test_what_the_filters_leave_out_is_not_drawn(filters_: dict[str, tuple[str, ...]], kept: bool) -> None:
    selection = Selection(drawn=Template("acme", ""), **filters_)
    assert (selection.shown is not None) is kept
    assert ("of_tenant=acme" in selection.query()) is kept
