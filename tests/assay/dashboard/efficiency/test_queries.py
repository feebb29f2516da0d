"""The figures of the screen equal those that the rows of the mart add up to by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from assay.dashboard.efficiency import queries
from assay.dashboard.efficiency.panels import moment_of
from assay.dashboard.efficiency.selection import SORTS, Days, Selection, Template
from assay.dashboard.store import Query, Store
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.assay.dashboard.efficiency.mart import BUILT, TODAY, ago, cost_of, fill, insert
from tests.support.databases import Databases
from tests.support.rows import insert as insert_calls
from tests.support.rows import span

NOW = datetime.now(UTC)
RAG = ("acme", "rag-v1")
CHAT = ("acme", "chat")
UNPRICED = ("globex", "rag-v1")


def ask(settings: Settings, query: Query) -> pd.DataFrame:
    store = Store(settings)
    try:
        return asyncio.run(store.frames({"it": query}))["it"]
    finally:
        store.close()


def days(selection: Selection) -> Days:
    # Of the day on which the rows were made, also where midnight has passed since.
    return selection.days(datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC))


def templates(settings: Settings, selection: Selection) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows of the table by tenant and template, in their order."""
    found = ask(settings, queries.templates(selection, days(selection))).to_dict("records")
    return {(str(row["tenant_id"]), str(row["prompt_template_version"])): row for row in found}


def totals(settings: Settings, selection: Selection) -> Mapping[Any, Any]:
    (row,) = ask(settings, queries.totals(selection, days(selection))).to_dict("records")
    return row


def agrees(row: Mapping[Any, Any], expected: Mapping[str, Any]) -> None:
    for name, value in expected.items():
        found = row[name]
        if value is None:
            assert pd.isna(found), name
        elif isinstance(value, list):
            assert [str(one) for one in found] == value, name
        else:
            assert float(found) == pytest.approx(float(value), rel=1e-12), name


@pytest.fixture(scope="module")
def filled(built_databases: Databases) -> Iterator[Settings]:
    with built_databases.lend() as settings:
        with connect(settings) as client:
            fill(client)
        yield settings


KNOWN = {
    "request_count": 200,
    "unpriced_count": 0,
    "cost_usd": 80,
    "complexity_scales": 1,
    "complexity_sources": ["human-time"],
    # Seven people were timed, however many days and models that is used for.
    "complexity_samples": 7,
    "normalized_count": 200,
    "normalized_cost_usd": 40,
    "normalized_per_call_usd": 0.2,
    "unknown_tasks": [],
    "completion_ratio": 4300 / 20_000,
    "spike_days": 1,
    "drop_days": 1,
    "flagged_days": 2,
    "cache_hit_rate": 0.25,
    "missed_discount_usd": 3,
    "missed_unknown": 0,
    "missed_sources": ["list"],
    "converted_count": 40,
    "cost_per_conversion_usd": 2,
    "escalated_count": None,
    "escalation_rate": None,
}
UNTIMED = {
    "request_count": 10,
    "cost_usd": 5,
    "complexity_scales": 0,
    "complexity_sources": [],
    "normalized_cost_usd": None,
    "normalized_per_call_usd": None,
    "unknown_tasks": ["smalltalk"],
    "completion_ratio": None,
    "flagged_days": None,
    "cache_hit_rate": None,
    "missed_discount_usd": None,
    "converted_count": None,
    "cost_per_conversion_usd": None,
}
WITHOUT_PRICE = {
    "request_count": 10,
    "unpriced_count": 10,
    "cost_usd": None,
    "complexity_scales": 1,
    "normalized_cost_usd": None,
    # It sends escalations, and no conversions: of those nobody knows.
    "converted_count": None,
    "cost_per_conversion_usd": None,
    "escalated_count": 1,
    "escalation_rate": 0.1,
}


@pytest.mark.parametrize(
    ("of", "expected"),
    [(RAG, KNOWN), (CHAT, UNTIMED), (UNPRICED, WITHOUT_PRICE)],
    ids=["timed", "untimed", "unpriced"],
)
def test_templates(filled: Settings, of: tuple[str, str], expected: Mapping[str, Any]) -> None:
    agrees(templates(filled, Selection())[of], expected | {"found": 3})


def test_totals_are_of_all_that_is_in_view(filled: Settings) -> None:
    agrees(
        totals(filled, Selection()),
        {
            "request_count": 220,
            "unpriced_count": 10,
            "cost_usd": 85,
            # Of the calls whose task somebody timed, and that have a price.
            "normalized_count": 200,
            "normalized_per_call_usd": 0.2,
            "completion_ratio": 4300 / 20_000,
            "flagged_days": 2,
            "cache_hit_rate": 0.25,
            "missed_discount_usd": 3,
            # The rates are of the tenants that send such events, not of all.
            "cost_per_conversion_usd": 2,
            "escalation_rate": 0.1,
            "session_count": 30,
            "cost_per_session_usd": 4.5,
        },
    )


VIEWS: Mapping[str, tuple[Selection, Mapping[str, Any]]] = {
    "a week": (Selection(range="7d"), {"request_count": 160, "session_count": 21, "converted_count": 28}),
    "one tenant": (
        Selection(tenants=("globex",)),
        {"request_count": 10, "cost_usd": None, "session_count": None, "escalation_rate": 0.1},
    ),
    "two tenants": (Selection(tenants=("acme", "globex")), {"request_count": 220}),
    # Completion ratios are of all models, and so are sessions.
    "one model": (
        Selection(models=("small",)),
        {
            "request_count": 110,
            "cost_usd": 25,
            "cache_hit_rate": 0.5,
            "missed_discount_usd": 0,
            "completion_ratio": 4300 / 20_000,
            "session_count": 30,
        },
    ),
    # A session has many templates.
    "one template": (
        Selection(templates=("chat",)),
        {"request_count": 10, "flagged_days": None, "session_count": 30},
    ),
    "nobody": (Selection(tenants=("nobody",)), {"request_count": None, "cost_usd": None}),
}


@pytest.mark.parametrize(("selection", "expected"), VIEWS.values(), ids=VIEWS.keys())
def test_filters(filled: Settings, selection: Selection, expected: Mapping[str, Any]) -> None:
    agrees(totals(filled, selection), expected)


@pytest.mark.parametrize("column", SORTS)
@pytest.mark.parametrize("descending", [True, False])
def test_the_table_is_in_the_order_asked_for(filled: Settings, column: str, descending: bool) -> None:
    rows = templates(filled, Selection(sort=column, descending=descending)).values()
    found = [None if pd.isna(row[column]) else row[column] for row in rows]
    known = [value for value in found if value is not None]
    assert known
    assert known == sorted(known, reverse=descending)
    # What is unknown comes last, whichever way.
    assert found == known + [None] * (3 - len(known))


def test_a_template_by_day(filled: Settings) -> None:
    view = days(Selection())
    found = ask(filled, queries.by_day(Selection(tenants=("globex",)), view, Template(*RAG)))
    assert list(found["period"].dt.date) == [ago(n) for n in range(9, -1, -1)]
    by_date = {row["period"].date(): row for row in found.to_dict("records")}
    ordinary = {"cache_hit_rate": 0.25, "normalized_per_call_usd": 0.2, "unknown_tasks": []}
    agrees(by_date[ago(1)], ordinary | {"day_completion_ratio": 0.2, "day_is_verbosity_spike": 0})
    agrees(by_date[ago(2)], {"day_completion_ratio": 0.5, "day_is_verbosity_spike": 1})
    agrees(by_date[ago(5)], {"day_is_truncation_drop": 1, "day_length_finish_share": 0.4})
    agrees(by_date[ago(9)], {"day_trailing_median": None, "day_is_verbosity_spike": None})

    small = ask(filled, queries.by_day(Selection(models=("small",)), view, Template(*RAG)))
    agrees(
        small.iloc[-1], {"normalized_per_call_usd": 0.1, "cache_hit_rate": 0.5, "day_completion_ratio": 0.2}
    )

    untimed = ask(filled, queries.by_day(Selection(), view, Template(*CHAT)))
    assert len(untimed) == 1
    agrees(untimed.iloc[0], {"normalized_per_call_usd": None, "unknown_tasks": ["smalltalk"]})


def test_options_offer_what_has_traffic_in_the_range(filled: Settings) -> None:
    (row,) = ask(filled, queries.options(days(Selection()))).to_dict("records")
    assert {name: list(found) for name, found in row.items()} == {
        "tenants": ["acme", "globex"],
        "models": ["large", "own", "small"],
        "templates": ["chat", "rag-v1"],
    }


def test_age(filled: Settings) -> None:
    assert moment_of(ask(filled, queries.built())) == BUILT


def test_empty_mart_answers_every_query_with_its_columns(built: Settings) -> None:
    view = days(Selection())
    for name, query in queries.first(Selection(), view).items():
        found = ask(built, query)
        assert len(found) == (name in ("totals", "options", "built")), name
    assert {"found", "flagged_days"} <= set(ask(built, queries.templates(Selection(), view)).columns)
    by_day = ask(built, queries.by_day(Selection(), view, Template("", "")))
    assert {"period", "day_completion_ratio", "unknown_tasks"} <= set(by_day.columns)
    assert moment_of(ask(built, queries.built())) is None


def test_costs_on_two_scales_of_complexity_are_not_added_up(built: Settings) -> None:
    of = {"tenant_id": "acme", "prompt_template_version": "", "model": "m"}
    with connect(built) as client:
        insert(
            client,
            cost_of(of, 0, "4", complexity="2", samples=7),
            cost_of(of, 0, "4", complexity="2", samples=9, scale="examples", task="other"),
            cost_of(of | {"tenant_id": "globex"}, 0, "4", complexity="4", samples=3, task="third"),
        )
    rows = templates(built, Selection())
    agrees(
        rows["acme", ""], {"complexity_scales": 2, "normalized_per_call_usd": None, "complexity_samples": 16}
    )
    agrees(rows["globex", ""], {"complexity_scales": 1, "normalized_per_call_usd": 0.1})
    agrees(totals(built, Selection()), {"normalized_per_call_usd": None})
    # A template without a name is one to filter by.
    assert len(templates(built, Selection(templates=("(none)",)))) == 2


def test_more_templates_than_shown_are_counted(built: Settings) -> None:
    rows = (
        cost_of({"tenant_id": "acme", "prompt_template_version": f"v{n}", "model": "m"}, 0, str(n + 1))
        for n in range(queries.TABLE_ROWS + 3)
    )
    with connect(built) as client:
        insert(client, *rows)
    found = templates(built, Selection(sort="cost_usd"))
    assert len(found) == queries.TABLE_ROWS
    assert {row["found"] for row in found.values()} == {queries.TABLE_ROWS + 3}
    assert next(iter(found.values()))["cost_usd"] == Decimal(queries.TABLE_ROWS + 3)


@pytest.mark.parametrize(
    ("selection", "marked"),
    [
        (Selection(), True),
        (Selection(range="7d"), False),
        (Selection(tenants=("demo",), models=("claude-sonnet-4-5",), templates=("rag-v1",)), True),
        (Selection(tenants=("real",)), False),
    ],
)
def test_simulated_traffic_is_told_for_the_view(built: Settings, selection: Selection, marked: bool) -> None:
    simulated = span(NOW - timedelta(days=10), tenant_id="demo", source="simulator")
    with connect(built) as client:
        insert_calls(client, "llm_traces", simulated, span(NOW, tenant_id="real"))
    found = ask(built, queries.simulated(selection, days(selection)))
    assert (len(found) > 0) is marked


@pytest.mark.parametrize("name", ["'); DROP TABLE efficiency_daily --", "{first:Date}", "%s"])
def test_names_are_values_and_not_sql(filled: Settings, name: str) -> None:
    view = Selection(tenants=(name,), models=(name,), templates=(name,))
    assert pd.isna(totals(filled, view)["request_count"])
    assert ask(filled, queries.by_day(Selection(), days(view), Template(name, name))).empty
