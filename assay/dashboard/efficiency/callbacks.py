"""How this page reacts: the address and the controls make a selection; a selection and the clock make a
refresh.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pandas as pd
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, no_update
from dash.exceptions import PreventUpdate

from assay.dashboard.address import UNNAMED
from assay.dashboard.charts import Canvas
from assay.dashboard.controls import FILTERS
from assay.dashboard.efficiency import figures, panels, queries
from assay.dashboard.efficiency.layout import CHARTS, COLUMNS, PREFIX
from assay.dashboard.efficiency.selection import Days, Selection, Template
from assay.dashboard.notices import failure
from assay.dashboard.overview.kpis import LOW_CACHE_HIT_RATE
from assay.dashboard.store import MissingTable, Store, StoreError
from assay.dashboard.theme import Scheme
from assay.settings import Settings

_UNITS = {
    "completion": "completion tokens per prompt token, all models",
    "normalized": "US dollars per call and unit of task complexity",
    "cache": f"share of prompt tokens, flagged below {LOW_CACHE_HIT_RATE:.0%}",
}


def register(app: Dash, store: Store, settings: Settings) -> None:  # noqa: ARG001 - every page is given them
    """Add this page's callbacks to ``app``."""

    # One callback, as the address sets the controls and the controls set the address.
    @app.callback(
        output={
            "search": Output(f"{PREFIX}address", "search"),
            "selection": Output(f"{PREFIX}selection", "data"),
            "range": Output(f"{PREFIX}range", "value"),
            "filters": {name: Output(PREFIX + name, "value") for name in FILTERS},
            "hints": {name: Output(PREFIX + name, "placeholder") for name in FILTERS},
            "drawn": Output(f"{PREFIX}drawn", "value"),
            "sorts": {c.name: Output(f"{PREFIX}head-{c.name}", "aria-sort") for c in COLUMNS},
        },
        inputs={
            "search": Input(f"{PREFIX}address", "search"),
            "controls": {name: Input(PREFIX + name, "value") for name in ("range", "drawn", *FILTERS)},
            "clicks": {c.name: Input(f"{PREFIX}sort-{c.name}", "n_clicks") for c in COLUMNS},
            "before": State(f"{PREFIX}selection", "data"),
        },
    )
    def select(
        search: str | None,
        controls: Mapping[str, Any],
        clicks: Mapping[str, int | None],  # noqa: ARG001 - which of them was used is in the context
        before: str | None,
    ) -> dict[str, Any]:
        if search is None:
            raise PreventUpdate  # The address is not known yet; this comes again when it is.
        used = str(ctx.triggered_id or "").removeprefix(PREFIX)
        if before is None or used in ("", "address"):
            chosen = _of(search)
        else:
            chosen = changed(_of(before), used, controls)
        query = chosen.query()
        filters = {name: list(getattr(chosen, name)) for name in FILTERS}
        direction = "descending" if chosen.descending else "ascending"
        return {
            "search": query if query != search else no_update,
            "selection": query,
            "range": chosen.range,
            "filters": filters,
            "hints": {name: "" if values else "all" for name, values in filters.items()},
            "drawn": key(chosen.drawn) if chosen.drawn else None,
            "sorts": {c.name: direction if c.name == chosen.sort else "none" for c in COLUMNS},
        }

    @app.callback(
        output={
            "notice": Output(f"{PREFIX}notice", "children"),
            "age": Output(f"{PREFIX}age", "children"),
            "tiles": Output(f"{PREFIX}tiles", "children"),
            "busy": Output(f"{PREFIX}tiles", "aria-busy"),
            "rows": Output(f"{PREFIX}rows", "children"),
            "note": Output(f"{PREFIX}note", "children"),
            "flags": Output(f"{PREFIX}flags", "children"),
            "options": {name: Output(PREFIX + name, "data") for name in FILTERS},
            "drawable": Output(f"{PREFIX}drawn", "data"),
            "hint": Output(f"{PREFIX}drawn", "placeholder"),
            "charts": {name: Output(PREFIX + name, "figure") for name in CHARTS},
            "units": {name: Output(f"{PREFIX}{name}-unit", "children") for name in CHARTS},
        },
        inputs={
            "query": Input(f"{PREFIX}selection", "data"),
            "tick": Input(f"{PREFIX}tick", "data"),
            "scheme": Input(f"{PREFIX}colours", "data"),
            "shown": State(f"{PREFIX}tiles", "children"),
        },
    )
    async def refresh(
        query: str | None,
        tick: Any,  # noqa: ARG001 - that it changed is all it says
        scheme: Scheme | None,
        shown: Any,
    ) -> dict[str, Any]:
        if query is None or scheme is None:
            # The address or the browser's colours are not known yet; this comes again when they are.
            return nothing()
        selection, now = _of(query), datetime.now(UTC)
        days = selection.days(now)
        try:
            found = await store.frames(queries.first(selection, days))
            of = panels.drawable(found["templates"], selection)
            # Where there is no template to draw, none has the empty names.
            by_day = {"by_day": queries.by_day(selection, days, of or Template("", ""))}
            found |= await store.frames(by_day)
        except MissingTable:
            return nothing() | {"notice": panels.not_built()}
        except StoreError as error:
            return nothing() | {"notice": failure(error, shown=bool(shown))}
        return filled(found, selection, days, of, scheme, now)

    # Asks again only while somebody looks: a hidden tab costs nothing.
    clientside: Any = app.clientside_callback  # It has no types.
    clientside(
        ClientsideFunction("pages", "tick"),
        Output(f"{PREFIX}tick", "data"),
        Input(f"{PREFIX}interval", "n_intervals"),
    )
    # The toggle's own property does not follow the operating system's scheme.
    clientside(
        ClientsideFunction("pages", "scheme"),
        Output(f"{PREFIX}colours", "data"),
        Input(f"{PREFIX}colours", "id"),
    )


def changed(before: Selection, control: str, controls: Mapping[str, Any]) -> Selection:
    """``before`` with what the viewer just did.

    Args:
        before: the view until now.
        control: id of what was used, without the page's prefix.
        controls: values of all controls.
    """
    if control.startswith("sort-"):
        column = next(c for c in COLUMNS if c.name == control.removeprefix("sort-"))
        # Figures are first asked for from the top, names from A.
        descending = not before.descending if before.sort == column.name else column.figure
        return replace(before, sort=column.name, descending=descending)
    if control == "range":
        return replace(before, range=controls["range"])
    if control == "drawn":
        chosen = controls["drawn"]
        return replace(before, drawn=Template(*json.loads(chosen)) if chosen else None)
    names: dict[str, Any] = {control: tuple(controls[control] or ())}
    return replace(before, **names)


def filled(
    found: Mapping[str, pd.DataFrame],
    selection: Selection,
    days: Days,
    of: Template | None,
    scheme: Scheme,
    now: datetime,
) -> dict[str, Any]:
    """Everything that a refresh puts on the screen."""
    table, by_day = found["templates"], found["by_day"]
    built = panels.moment_of(found["built"])
    canvas = Canvas(days, scheme, view=f"{days.first}{of}")
    return {
        "notice": panels.absence(built, selection) if table.empty else [],
        "age": panels.age(built, now),
        "tiles": panels.tiles(found["totals"]),
        "busy": "false",
        "rows": panels.rows(table, selection),
        "note": panels.note(table, selection),
        "flags": panels.flags(by_day) if of else [],
        "options": {
            name: sorted(
                {*(str(n) or UNNAMED for n in found["options"][name].iloc[0]), *getattr(selection, name)}
            )
            for name in FILTERS
        },
        "drawable": [{"value": key(t), "label": _label(t)} for t in panels.offered(table, of)],
        "hint": _label(of) if of else "none",
        "charts": {
            "completion": figures.completion(canvas, by_day),
            "normalized": figures.normalized(canvas, by_day),
            "cache": figures.cache(canvas, by_day, low=LOW_CACHE_HIT_RATE),
        },
        "units": _UNITS,
    }


def nothing() -> dict[str, Any]:
    """A refresh that leaves the screen as it is."""
    parts = ("notice", "age", "tiles", "busy", "rows", "note", "flags", "drawable", "hint")
    return {
        **dict.fromkeys(parts, no_update),
        "options": dict.fromkeys(FILTERS, no_update),
        "charts": dict.fromkeys(CHARTS, no_update),
        "units": dict.fromkeys(CHARTS, no_update),
    }


def key(of: Template) -> str:
    """A template as the value of the select: names may have any character."""
    return json.dumps(list(of))


def _label(of: Template) -> str:
    return f"{of.tenant_id} · {of.version or UNNAMED}"


def _of(search: str) -> Selection:
    return Selection.of(parse_qs(search.removeprefix("?")))
