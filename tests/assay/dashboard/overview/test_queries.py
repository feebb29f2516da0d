"""The figures of the screen equal those that pandas computes from the raw rows."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from assay.dashboard.overview import queries, rounds
from assay.dashboard.overview.selection import SORTS, Evaluator, Selection
from assay.dashboard.store import Query, Store
from assay.dashboard.windows import Window
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.assay.dashboard.overview.traffic import Traffic, generate
from tests.support.databases import Databases
from tests.support.rows import insert, span

NOW = datetime.now(UTC)

VIEWS = {
    "hour": Selection(),
    "six hours": Selection(range="6h", group_by="model"),
    "day of one tenant": Selection(range="24h", tenants=("org_1",), group_by="prompt_template_version"),
    "week of a template without a name": Selection(range="7d", templates=("(none)",), group_by=None),
    "month": Selection(range="30d"),
    "month of experiments": Selection(range="30d", cohort="experiment", group_by="model"),
    "ragged interval": Selection(
        range="custom",
        since=(NOW - timedelta(days=19, hours=3, minutes=7)).replace(second=0, microsecond=0),
        until=(NOW - timedelta(hours=5, minutes=41)).replace(second=0, microsecond=0),
    ),
    "one evaluator": Selection(range="30d", evaluator=Evaluator("llm-as-judge", "2"), group_by=None),
}


class Raw:
    """The raw rows, and the store that answers the screen."""

    def __init__(self, settings: Settings, traffic: Traffic) -> None:
        self.settings = settings
        self.traffic = traffic

    def ask(self, query: Query) -> pd.DataFrame:
        return ask(self.settings, query)

    def refresh(self, view: queries.View) -> dict[str, pd.DataFrame]:
        return refresh(self.settings, view)

    def calls(self, selection: Selection, window: Window) -> pd.DataFrame:
        calls = self.traffic.calls
        return _kept(calls[calls["billed"]], selection, window, "timestamp")

    def scores(self, selection: Selection, window: Window) -> pd.DataFrame:
        return _kept(self.traffic.scores, selection, window, "span_timestamp")


def ask(settings: Settings, query: Query) -> pd.DataFrame:
    return _read(settings, lambda store: store.frames({"it": query}))["it"]


def refresh(settings: Settings, view: queries.View) -> dict[str, pd.DataFrame]:
    return _read(settings, lambda store: rounds.ask(store, view))


def _read(
    settings: Settings, read: Callable[[Store], Coroutine[Any, Any, dict[str, pd.DataFrame]]]
) -> dict[str, pd.DataFrame]:
    store = Store(settings)
    try:
        return asyncio.run(read(store))
    finally:
        store.close()


@pytest.fixture(scope="module")
def raw(built_databases: Databases) -> Iterator[Raw]:
    with built_databases.lend() as settings:
        with connect(settings) as client:
            traffic = generate(client, NOW)
        yield Raw(settings, traffic)


def _kept(frame: pd.DataFrame, selection: Selection, window: Window, time: str) -> pd.DataFrame:
    keep = (frame[time] >= window.start) & (frame[time] < window.end)
    keep &= (frame["experiment_id"] != "") == (selection.cohort == "experiment")
    for column, names in (
        ("tenant_id", selection.tenants),
        ("model", selection.models),
        ("prompt_template_version", selection.templates),
    ):
        if names:
            keep &= frame[column].isin(["" if name == "(none)" else name for name in names])
    return frame[keep]


def _quantile(values: pd.Series, level: float) -> float | None:
    """The smallest value that at least ``level`` of the values do not exceed."""
    known = sorted(values.dropna().astype(float))
    return known[math.ceil(level * len(known)) - 1] if known else None


def _measures(calls: pd.DataFrame) -> dict[str, Any]:
    reported = calls[calls["cached_tokens"].notna()]
    costs = [cost for cost in calls["cost_usd"] if cost is not None]
    velocity = calls["completion_tokens"] / (calls["latency_ms"].astype(float) / 1000)
    return {
        "request_count": len(calls),
        "error_count": (calls["status"] == "error").sum(),
        "unpriced_count": (calls["cost_status"] == "unpriced").sum(),
        "cost_usd": sum(costs, Decimal(0)) if costs else None,
        "cache_hit_rate": (
            reported["cached_tokens"].sum() / reported["prompt_tokens"].sum() if len(reported) else None
        ),
        "cost_p50_usd": _quantile(pd.Series(costs, dtype=object), 0.5),
        "latency_p50_ms": _quantile(calls["latency_ms"], 0.5),
        "latency_p95_ms": _quantile(calls["latency_ms"], 0.95),
        "velocity_p50": _quantile(velocity, 0.5),
        "velocity_p95": _quantile(velocity, 0.95),
    }


def _agrees(row: pd.Series, calls: pd.DataFrame) -> None:
    for name, expected in _measures(calls).items():
        if name not in row.index:
            continue
        found = row[name]
        if expected is None:
            assert pd.isna(found), name
        elif name == "cost_usd":
            assert found == expected
        else:
            # Sums are exact; histograms are within 1 %.
            tolerance = 0.0101 if "_p" in name else 1e-12
            assert float(found) == pytest.approx(float(expected), rel=tolerance), name


def _mean(scores: pd.DataFrame) -> float | None:
    known = scores[scores["score"].notna()]
    weight = 1 / known["sampling_rate"]
    return float((known["score"].astype(float) * weight).sum() / weight.sum()) if len(known) else None


@pytest.fixture(params=VIEWS.values(), ids=VIEWS.keys())
def view(request: pytest.FixtureRequest) -> queries.View:
    selection: Selection = request.param
    return queries.View(selection, selection.window(NOW))


def test_totals(raw: Raw, view: queries.View) -> None:
    found = raw.ask(queries.totals(view))
    for previous, window in ((0, view.window), (1, view.window.previous)):
        calls = raw.calls(view.selection, window)
        rows = found[found["previous"] == previous]
        assert len(rows) == (len(calls) > 0)
        if len(calls):
            _agrees(rows.iloc[0], calls)


def test_trend_and_its_members(raw: Raw, view: queries.View) -> None:
    found = raw.refresh(view)["trend"]
    calls = raw.calls(view.selection, view.window)
    dimension = view.selection.group_by
    periods = calls["timestamp"].dt.floor(view.window.step)
    members = calls[dimension] if dimension else pd.Series("", index=calls.index)
    expected = dict(list(calls.groupby([periods, members])))
    assert len(found) == len(expected)
    for _, row in found.iterrows():
        _agrees(row, expected[row["period"], row["member"]])


def test_series(raw: Raw, view: queries.View) -> None:
    found = raw.refresh(view)["series"]
    keys = ["tenant_id", "model", "prompt_template_version"]
    expected = dict(list(raw.calls(view.selection, view.window).groupby(keys)))
    scores = raw.scores(view.selection, view.window)
    counts = scores[scores["score"].notna()].groupby("evaluator_version").size()
    chosen = view.selection.evaluator
    version = chosen.version if chosen else counts.idxmax() if len(counts) else None
    assert set(found["found"]) == {len(expected)}
    for _, row in found.iterrows():
        key = tuple(row[keys])
        _agrees(row, expected[key])
        mine = scores[(scores[keys] == list(key)).all(axis=1) & (scores["evaluator_version"] == version)]
        mean = _mean(mine)
        assert pd.isna(row["quality_mean"]) if mean is None else row["quality_mean"] == pytest.approx(mean)


@pytest.mark.parametrize("column", SORTS)
@pytest.mark.parametrize("descending", [True, False])
def test_the_table_is_in_the_order_asked_for(raw: Raw, column: str, descending: bool) -> None:
    selection = Selection(range="30d", sort=column, descending=descending)
    rows = raw.refresh(queries.View(selection, selection.window(NOW)))["series"]
    found = [None if pd.isna(value) else value for value in rows[column]]
    known = [value for value in found if value is not None]
    assert len(known) > 1
    assert known == sorted(known, reverse=descending)
    # What is unknown comes last, whichever way.
    assert found == known + [None] * (len(found) - len(known))


def test_quality(raw: Raw, view: queries.View) -> None:
    scores = raw.scores(view.selection, view.window)
    found = raw.ask(queries.quality_totals(view))
    shown = found[found["previous"] == 0].set_index("evaluator_version")
    by_version = dict(list(scores.groupby("evaluator_version")))
    assert set(shown.index) == set(by_version)
    for version, rows in by_version.items():
        assert shown.loc[version, "evaluation_count"] == rows["score"].notna().sum()
        assert shown.loc[version, "unknown_count"] == rows["score"].isna().sum()
        assert shown.loc[version, "quality_mean"] == pytest.approx(_mean(rows), nan_ok=True)
    trend = raw.refresh(view)["quality_trend"]
    if view.selection.group_by is None:
        assert trend["evaluation_count"].sum() == scores["score"].notna().sum()
    else:
        # Scores of different evaluators are never mixed.
        assert trend["evaluator_version"].nunique() == 1


def test_dearest_members_are_named_and_the_rest_is_other(built: Settings) -> None:
    view = queries.View(Selection(), Selection().window(NOW))
    tenants = [f"t{index}" for index in range(queries.TOP_SERIES + 3)]
    with connect(built) as client:
        insert(
            client,
            "llm_traces",
            *(span(NOW, tenant_id=name, cost_usd=Decimal(index + 1)) for index, name in enumerate(tenants)),
        )
    found = refresh(built, view)["trend"]
    assert set(found["member"].dropna()) == set(tenants[3:])
    (other,) = found[found["member"].isna()].itertuples()
    assert (other.request_count, other.cost_usd) == (3, Decimal(6))


def test_corrected_away_is_no_traffic_and_a_lost_price_is_unknown(built: Settings) -> None:
    view = queries.View(Selection(), Selection().window(NOW))
    gone, kept = span(NOW, tenant_id="gone"), span(NOW, tenant_id="kept")
    with connect(built) as client:
        insert(client, "llm_traces", gone, kept)
        insert(client, "llm_traces", gone | {"sign": -1}, kept | {"sign": -1})
        insert(client, "llm_traces", kept | {"cost_usd": None, "cost_status": "unpriced"})
    (row,) = refresh(built, view)["series"].itertuples()
    assert (row.tenant_id, row.request_count, row.unpriced_count) == ("kept", 1, 1)
    assert pd.isna(row.cost_usd)
    assert pd.isna(row.cost_p50_usd)


def test_empty_store_answers_every_query_with_its_columns(built: Settings) -> None:
    answers = refresh(built, queries.View(Selection(), Selection().window(NOW)))
    assert {"period", "member", "cost_usd"} <= set(answers["trend"].columns)
    assert {"alert_id", "found", "pages"} <= set(answers["alerts"].columns)
    assert answers["freshness"]["newest"].isna().all()
    assert answers["simulated"].empty
    assert {"found", "cost_usd", "latency_p95_ms", "quality_mean"} <= set(answers["series"].columns)


def test_options_offer_all_names_of_the_cohort(raw: Raw) -> None:
    selection = Selection(range="30d", tenants=("org_1",))
    found = raw.ask(queries.options(queries.View(selection, selection.window(NOW))))
    assert {
        dimension: list(names) for dimension, names in zip(found["dimension"], found["names"], strict=True)
    } == {
        "tenant_id": ["org_1", "org_2", "org_3", "org_4"],
        "model": ["large", "small"],
        "prompt_template_version": ["", "chat-v2", "rag-v1"],
    }


@pytest.mark.parametrize(
    ("selection", "marked"),
    [
        (Selection(), True),
        (Selection(tenants=("demo",)), True),
        (Selection(tenants=("real",)), False),
        (Selection(cohort="experiment"), False),
    ],
)
def test_simulated_traffic_is_told_for_the_view(built: Settings, selection: Selection, marked: bool) -> None:
    with connect(built) as client:
        insert(
            client, "llm_traces", span(NOW, tenant_id="demo", source="simulator"), span(NOW, tenant_id="real")
        )
    found = ask(built, queries.simulated(queries.View(selection, selection.window(NOW))))
    assert (len(found) > 0) is marked


def test_whether_traffic_is_simulated_is_answered_by_the_index(raw: Raw) -> None:
    selection = Selection(range="30d")
    query = queries.simulated(queries.View(selection, selection.window(NOW)))
    with connect(raw.settings) as client:
        plan = client.query(f"EXPLAIN indexes = 1 {query.sql}", parameters=dict(query.parameters)).result_rows
    text = "\n".join(line for (line,) in plan)
    assert "source_set" in text
    assert "Parts: 0/" in text


def test_freshness_is_answered_from_the_bounds_of_the_parts(raw: Raw) -> None:
    (row,) = raw.ask(queries.freshness()).itertuples()
    times = raw.traffic.calls["timestamp"]
    assert row.newest == times.max()
    assert row.oldest == times.min()
    with connect(raw.settings) as client:
        plan = client.query(f"EXPLAIN {queries.freshness().sql}").result_rows
    assert any("_minmax_count_projection" in line for (line,) in plan)


def test_alerts_come_pages_first_and_none_is_hidden_by_a_filter(built: Settings) -> None:
    def event(alert_id: str, kind: str, minutes: int, **fields: Any) -> dict[str, Any]:
        return {
            "alert_id": alert_id,
            "event_id": f"{alert_id}-{kind}",
            "event": kind,
            "occurred_at": NOW - timedelta(minutes=minutes),
            "tenant_id": "org_1",
            "level": "page",
            "cohort": "production",
            "summary": "cost × 3",
            "actor": "",
        } | fields

    with connect(built) as client:
        insert(
            client,
            "alerts",
            event("old-page", "opened", 30),
            event("new-page", "opened", 10),
            event("look", "opened", 5, level="investigate", tenant_id="org_2"),
            event("seen", "opened", 40),
            event("seen", "acknowledged", 20, actor="maria"),
            event("over", "opened", 50),
            event("over", "resolved", 45),
            event("trial", "opened", 1, cohort="experiment"),
        )
    found = ask(built, queries.alerts(Selection()))
    assert list(found["alert_id"]) == ["new-page", "old-page", "seen", "look"]
    assert set(found["found"]) == {4}
    assert set(found["pages"]) == {3}
    assert found.set_index("alert_id").loc["seen", "acknowledged_by"] == "maria"
    assert ask(built, queries.alerts(Selection(tenants=("org_2",))))["alert_id"].iloc[0] == "look"
    assert list(ask(built, queries.alerts(Selection(cohort="experiment")))["alert_id"]) == ["trial"]
