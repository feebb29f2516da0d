"""How this page reacts: the address and the controls make a selection; a selection and the clock make a
refresh.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from typing import Any
from urllib.parse import parse_qs

import pandas as pd
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, no_update
from dash.exceptions import PreventUpdate
from plotly.utils import PlotlyJSONEncoder

from assay.dashboard.address import UNNAMED, path_of
from assay.dashboard.charts import Canvas, zoomed
from assay.dashboard.controls import FILTERS
from assay.dashboard.notices import failure
from assay.dashboard.overview import acknowledgement, figures, kpis, panels, queries, rounds
from assay.dashboard.overview.layout import CHARTS, COLUMNS
from assay.dashboard.overview.rollups import SERIES
from assay.dashboard.overview.selection import CUSTOM, PATH, UNGROUPED, Evaluator, Selection
from assay.dashboard.store import Store, StoreError
from assay.dashboard.theme import Scheme
from assay.settings import Settings

# What the charts show when they are split by members, and when they are not. {step} is the period of a bar.
_UNITS = {
    "spend": ("US dollars per {step}", "US dollars per {step}"),
    "requests": ("calls per {step}", "calls per {step}"),
    "latency": ("p95 of the time per call, seconds", "time per call, seconds"),
    "quality": ("mean score{evaluator}", "mean score by evaluator"),
    "cache": ("share of prompt tokens, flagged below {low}", "share of prompt tokens, flagged below {low}"),
    "velocity": ("p50, completion tokens per second", "completion tokens per second"),
}
_STEPS = {
    timedelta(minutes=1): "minute",
    timedelta(minutes=5): "5 minutes",
    timedelta(hours=1): "hour",
    timedelta(days=1): "day (UTC)",
}
_PICKER = "%Y-%m-%d %H:%M:00"
_OPTIONS = dict(zip(FILTERS, SERIES, strict=True))


def register(app: Dash, store: Store, settings: Settings) -> None:
    """Add this page's callbacks to ``app``."""

    # One callback, as the address sets the controls and the controls set the address.
    @app.callback(
        output={
            "search": Output("address", "search"),
            "selection": Output("selection", "data"),
            "range": Output("range", "value"),
            "custom": Output("custom", "hidden"),
            "since": Output("from", "value"),
            "until": Output("to", "value"),
            "filters": {name: Output(name, "value") for name in FILTERS},
            "hints": {name: Output(name, "placeholder") for name in FILTERS},
            "group": Output("group", "value"),
            "evaluator": Output("evaluator", "value"),
            "cohort": Output("cohort", "value"),
            "sorts": {name: Output(f"head-{name}", "aria-sort") for name, *_ in COLUMNS},
            "interval": Output("interval", "interval"),
            "still": Output("interval", "disabled"),
        },
        inputs={
            "search": Input("address", "search"),
            "controls": {
                "range": Input("range", "value"),
                "since": Input("from", "value"),
                "until": Input("to", "value"),
                "group": Input("group", "value"),
                "evaluator": Input("evaluator", "value"),
                "cohort": Input("cohort", "value"),
                **{name: Input(name, "value") for name in FILTERS},
            },
            "clicks": {name: Input(f"sort-{name}", "n_clicks") for name, *_ in COLUMNS},
            "path": State("address", "pathname"),
            "before": State("selection", "data"),
        },
    )
    def select(
        search: str | None,
        controls: Mapping[str, Any],
        clicks: Mapping[str, int | None],  # noqa: ARG001 - which of them was used is in the context
        path: str | None,
        before: str | None,
    ) -> dict[str, Any]:
        if search is None or path_of(path) != PATH:
            # The address is not known yet, and this comes again when it is; or it is of another page, and
            # this one is about to go.
            raise PreventUpdate
        trigger = ctx.triggered_id
        now = datetime.now(UTC)
        if before is None or trigger in (None, "address"):
            chosen = Selection.of(parse_qs(search.removeprefix("?")))
        else:
            chosen = changed(Selection.of(parse_qs(before.removeprefix("?"))), trigger, controls, now)
        query = chosen.query()
        filters = {name: list(getattr(chosen, name)) for name in FILTERS}
        return {
            "search": query if query != search else no_update,
            "selection": query,
            "range": chosen.range,
            "custom": chosen.live,
            "since": chosen.since.strftime(_PICKER) if chosen.since else None,
            "until": chosen.until.strftime(_PICKER) if chosen.until else None,
            "filters": filters,
            "hints": {name: "" if values else "all" for name, values in filters.items()},
            "group": chosen.group_by or UNGROUPED,
            "evaluator": chosen.evaluator.key if chosen.evaluator else None,
            "cohort": chosen.cohort,
            "sorts": {
                name: ("descending" if chosen.descending else "ascending") if name == chosen.sort else "none"
                for name, *_ in COLUMNS
            },
            "interval": (chosen.refresh_seconds or 60) * 1000,
            "still": chosen.refresh_seconds is None,
        }

    @app.callback(
        output={
            "notice": Output("notice", "children"),
            "alerts": Output("alerts", "children"),
            "drawn": Output("drawn", "data"),
            "tiles": Output("tiles", "children"),
            "busy": Output("tiles", "aria-busy"),
            "legend": Output("legend", "children"),
            "charts": {key: Output(key, "figure") for key in CHARTS},
            "zooms": {key: Output(key, "relayoutData") for key in CHARTS},
            "units": {key: Output(f"{key}-unit", "children") for key in CHARTS},
            "rows": Output("rows", "children"),
            "note": Output("series-note", "children"),
            "options": {name: Output(name, "data") for name in FILTERS},
            "evaluators": Output("evaluator", "data"),
            "authentic": Output("simulated", "hidden"),
            "newest": Output("newest", "data"),
        },
        inputs={
            "query": Input("selection", "data"),
            "tick": Input("tick", "data"),
            "scheme": Input("colours", "data"),
            "offered": {
                **{name: State(name, "data") for name in FILTERS},
                "evaluator": State("evaluator", "data"),
                "drawn": State("drawn", "data"),
            },
            "zooms": {key: State(key, "relayoutData") for key in CHARTS},
            "newest": State("newest", "data"),
        },
    )
    async def refresh(
        query: str | None,
        tick: Any,  # noqa: ARG001 - that it changed is all it says
        scheme: Scheme | None,
        offered: Mapping[str, Any],
        zooms: Mapping[str, Any],
        newest: Any,
    ) -> dict[str, Any]:
        if query is None or scheme is None:
            # The address or the browser's colours are not known yet; this comes again when they are.
            return nothing()
        selection = Selection.of(parse_qs(query.removeprefix("?")))
        now = datetime.now(UTC)
        view = queries.View(selection, selection.window(now))
        try:
            answers = await rounds.ask(store, view)
        except StoreError as error:
            return nothing() | {"notice": failure(error, shown=newest is not None)}
        found = shown(view, answers, scheme, now, offered, settings)
        if "selection" in ctx.triggered_prop_ids.values():
            # Another view is shown whole.
            return found | {"zooms": dict.fromkeys(CHARTS)}
        charts = {key: zoomed(chart, zooms[key]) for key, chart in found["charts"].items()}
        return found | {"charts": charts}

    acknowledgement.register(app, store)

    # Asks again only while somebody looks: a hidden tab costs nothing.
    clientside: Any = app.clientside_callback  # It has no types.
    clientside(ClientsideFunction("pages", "tick"), Output("tick", "data"), Input("interval", "n_intervals"))
    # The toggle's own property does not follow the operating system's scheme.
    clientside(ClientsideFunction("pages", "scheme"), Output("colours", "data"), Input("colours", "id"))
    clientside(
        ClientsideFunction("pages", "freshness"),
        Output("freshness", "children"),
        Input("newest", "data"),
        Input("second", "n_intervals"),
    )


def changed(before: Selection, control: str, controls: Mapping[str, Any], now: datetime) -> Selection:
    """``before`` with what the viewer just did.

    Args:
        before: the view until now.
        control: id of what was used.
        controls: values of all controls.
        now: what a custom range starts from.
    """
    if control.startswith("sort-"):
        column = control.removeprefix("sort-")
        figure = next(is_figure for name, _, _, is_figure in COLUMNS if name == column)
        # Figures are first asked for from the top, names from A.
        descending = not before.descending if before.sort == column else figure
        return replace(before, sort=column, descending=descending)
    if control == "range":
        if controls["range"] != CUSTOM:
            return replace(before, range=controls["range"], since=None, until=None)
        window = before.window(now)
        return replace(before, range=CUSTOM, since=window.start, until=window.end)
    if control in ("from", "to"):
        asked = Selection.of(
            {"range": CUSTOM, "from": controls["since"] or "", "to": controls["until"] or ""}
        )
        # An end before the start, or half a choice, leaves the view as it is.
        return before if asked.live else replace(before, range=CUSTOM, since=asked.since, until=asked.until)
    if control == "group":
        return replace(before, group_by=Selection.of({"group": controls["group"] or ""}).group_by)
    if control == "evaluator":
        key = controls["evaluator"]
        return replace(before, evaluator=Evaluator.of(key) if key else None)
    if control == "cohort":
        return replace(before, cohort=Selection.of({"cohort": controls["cohort"] or ""}).cohort)
    chosen: dict[str, Any] = {control: tuple(controls[control] or ())}
    return replace(before, **chosen)


def shown(
    view: queries.View,
    answers: Mapping[str, pd.DataFrame],
    scheme: Scheme,
    now: datetime,
    offered: Mapping[str, Any],
    settings: Settings,
) -> dict[str, Any]:
    """Everything that a refresh puts on the screen."""
    selection = view.selection
    trend, totals, scores = answers["trend"], answers["totals"], answers["quality_totals"]
    grouped = selection.group_by is not None
    members = figures.groups(trend, scheme, grouped=grouped)
    canvas = Canvas(view.window, scheme, members, grouped, selection.href)
    evaluator = selection.evaluator or kpis.most_used(scores)
    oldest, newest = (_time(answers["freshness"], bound) for bound in ("oldest", "newest"))
    if oldest is None or oldest > view.window.previous.start:
        # A period that the store knows in part is nothing to compare with.
        totals, scores = (frame[frame["previous"] == 0] for frame in (totals, scores))
    notice: list[Any] = []
    if totals[totals["previous"] == 0].empty:
        notice = panels.absence(newest, selection, settings.collector)
    unit = {
        "step": _STEPS[view.window.step],
        "evaluator": f" of {evaluator.label}" if evaluator else "",
        "low": f"{kpis.LOW_CACHE_HIT_RATE:.0%}",
    }
    alerts = panels.alerts(answers["alerts"], selection, now)
    drawn = _digest(alerts)
    return {
        "notice": notice,
        # A button must not be rebuilt under the pointer.
        "alerts": no_update if drawn == offered["drawn"] else alerts,
        "drawn": drawn,
        "tiles": panels.tiles(kpis.tiles(totals, scores, selection.evaluator), selection),
        "busy": "false",
        "legend": panels.legend(members, selection),
        "charts": {
            "spend": figures.spend(canvas, trend),
            "requests": figures.requests(canvas, trend),
            "latency": figures.latency(canvas, trend),
            "quality": figures.quality(canvas, answers["quality_trend"], traffic=len(trend) > 0),
            "cache": figures.cache(canvas, trend, low=kpis.LOW_CACHE_HIT_RATE),
            "velocity": figures.velocity(canvas, trend),
        },
        "zooms": dict.fromkeys(CHARTS, no_update),
        "units": {key: _UNITS[key][not grouped].format(**unit) for key in CHARTS},
        "rows": panels.rows(answers["series"], selection),
        "note": panels.table_note(answers["series"]),
        "options": _options(answers["options"], selection, offered),
        "evaluators": _unless_same(_evaluators(scores, selection), offered["evaluator"]),
        "authentic": answers["simulated"].empty,
        "newest": {
            "newest": newest.timestamp() * 1000 if newest else None,
            "now": now.timestamp() * 1000,
            "every": selection.refresh_seconds,
        },
    }


def nothing() -> dict[str, Any]:
    """A refresh that leaves the screen as it is."""
    parts = (
        "notice",
        "alerts",
        "drawn",
        "tiles",
        "busy",
        "legend",
        "rows",
        "note",
        "evaluators",
        "authentic",
        "newest",
    )
    return {
        **dict.fromkeys(parts, no_update),
        "charts": dict.fromkeys(CHARTS, no_update),
        "zooms": dict.fromkeys(CHARTS, no_update),
        "units": dict.fromkeys(CHARTS, no_update),
        "options": dict.fromkeys(FILTERS, no_update),
    }


def _time(freshness: pd.DataFrame, bound: str) -> datetime | None:
    time = freshness[bound].iloc[0]
    return None if pd.isna(time) else pd.Timestamp(time).tz_convert(UTC).to_pydatetime(warn=False)


def _options(frame: pd.DataFrame, selection: Selection, offered: Mapping[str, Any]) -> dict[str, Any]:
    """What the filters offer, with what is chosen even if it has no traffic now."""
    names = dict(zip(frame["dimension"], frame["names"], strict=True))
    found = {}
    for name, dimension in _OPTIONS.items():
        offer = {str(value) or UNNAMED for value in names.get(dimension, ())}
        found[name] = _unless_same(sorted({*offer, *getattr(selection, name)}), offered[name])
    return found


def _evaluators(scores: pd.DataFrame, selection: Selection) -> list[dict[str, str]]:
    found = {
        Evaluator(str(e), str(v))
        for e, v in zip(scores["evaluator"], scores["evaluator_version"], strict=True)
    }
    if selection.evaluator is not None:
        found.add(selection.evaluator)
    return [{"value": e.key, "label": e.label} for e in sorted(found, key=lambda e: (e.name, e.version))]


def _digest(children: Sequence[Any]) -> str:
    """Short for all that the browser is sent of ``children``."""
    text = json.dumps(children, cls=PlotlyJSONEncoder, sort_keys=True)
    return blake2s(text.encode(), digest_size=8).hexdigest()


def _unless_same(value: Sequence[Any], before: Any) -> Any:
    """``value``, or no update where it is what is there: an open list must not be rebuilt under the
    pointer.
    """
    return no_update if value == before else value
