from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.dashboard.overview.selection import (
    CUSTOM,
    RANGES,
    SORTS,
    Evaluator,
    Selection,
)

NOW = datetime(2026, 3, 18, 14, 37, 12, tzinfo=UTC)

names = st.text(min_size=1, max_size=20).filter(lambda text: text.strip() == text)
filters = st.lists(names, max_size=3, unique=True).map(tuple)


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    custom = draw(st.booleans())
    start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=draw(st.integers(0, 3_000_000)))
    evaluator = draw(
        st.none() | st.builds(Evaluator, names.filter(lambda n: "@" not in n), st.just("v2") | st.just(""))
    )
    return Selection(
        range=CUSTOM if custom else draw(st.sampled_from(sorted(RANGES))),
        since=start if custom else None,
        until=start + timedelta(minutes=draw(st.integers(1, 100_000))) if custom else None,
        tenants=draw(filters),
        models=draw(filters),
        templates=draw(filters),
        cohort=draw(st.sampled_from(["production", "experiment"])),
        group_by=draw(st.sampled_from(["tenant_id", "model", "prompt_template_version", None])),
        evaluator=evaluator,
        sort=draw(st.sampled_from(SORTS)),
        descending=draw(st.booleans()),
    )


@given(selections())
def test_address_and_back(selection: Selection) -> None:
    assert Selection.of(parse_qs(selection.query().removeprefix("?"))) == selection


def test_default_needs_no_query() -> None:
    assert Selection().query() == ""
    assert Selection().href == "/"


@pytest.mark.parametrize(
    "query",
    [
        {"range": "5y"},
        {"range": "custom"},
        {"range": "custom", "from": "2026-01-01T10:00Z", "to": "2026-01-01T09:00Z"},
        {"range": "custom", "from": "yesterday", "to": "2026-01-01T09:00Z"},
        {"range": "custom", "from": "1900-01-01T10:00Z", "to": "2026-01-01T09:00Z"},
        {"cohort": "everyone"},
        {"group": "llm_traces"},
        {"sort": "-1; DROP TABLE llm_traces"},
        {"unheard": "of"},
    ],
)
def test_what_is_not_understood_is_left_at_its_default(query: dict[str, str]) -> None:
    assert Selection.of(query) == Selection()


def test_picker_times_are_utc() -> None:
    chosen = Selection.of({"range": "custom", "from": "2026-01-15 09:00:00", "to": "2026-01-15T10:00Z"})
    assert chosen.since == datetime(2026, 1, 15, 9, tzinfo=UTC)
    assert chosen.until == datetime(2026, 1, 15, 10, tzinfo=UTC)
    assert not chosen.live
    assert chosen.refresh_seconds is None
    assert chosen.window(NOW).length == timedelta(hours=1)


def test_live_ranges_refresh() -> None:
    assert all(Selection(range=name).refresh_seconds for name in RANGES)


@pytest.mark.parametrize(("key", "name", "version"), [("judge@v2", "judge", "v2"), ("judge", "judge", "")])
def test_evaluator(key: str, name: str, version: str) -> None:
    assert Evaluator.of(key) == Evaluator(name, version)
    assert Evaluator.of(key).key == key
