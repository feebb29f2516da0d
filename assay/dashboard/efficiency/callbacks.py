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

from assay.dashboard.address import UNNAMED, path_of
from assay.dashboard.charts import Canvas
from assay.dashboard.controls import FILTERS
from assay.dashboard.efficiency import figures, kpis, panels, queries
from assay.dashboard.efficiency.layout import CHARTS, COLUMNS, PREFIX, VIEW
from assay.dashboard.efficiency.selection import PATH, Days, Selection, Template
from assay.dashboard.notices import failure
from assay.dashboard.overview.kpis import LOW_CACHE_HIT_RATE
from assay.dashboard.store import MissingTable, Store, StoreError
from assay.dashboard.theme import Scheme
from assay.dashboard.tiles import drawn
from assay.settings import Settings

_UNITS = {
    "completion": "completion / prompt tokens, all models",
    "normalized": "US dollars per call, over complexity",
    "cache": f"share of prompt tokens, flagged below {LOW_CACHE_HIT_RATE:.0%}",
}


def register(app: Dash, store: Store, settings: Settings) -> None:  # noqa: ARG001 - every page is given them
    """Add this page's callbacks to ``app``."""

    # One callback, as the address sets the controls and the controls set the address.
    @app.callback(
        output={
            "search": Output(f"{PREFIX}address", "search"),
            "selection": Output(VIEW, "data"),
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
            "path": State(f"{PREFIX}address", "pathname"),
            "before": State(VIEW, "data"),
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
            "drawn": key(chosen.shown) if chosen.shown else None,
            "sorts": {c.name: direction if c.name == chosen.sort else "none" for c in COLUMNS},
        }

    @app.callback(
        output={
            "notice": Output(f"{PREFIX}notice", "children"),
            "built": Output(f"{PREFIX}built", "data"),
            "age": Output(f"{PREFIX}age", "children"),
            "authentic": Output(f"{PREFIX}simulated", "hidden"),
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
            "query": Input(VIEW, "data"),
            "tick": Input(f"{PREFIX}tick", "data"),
            "scheme": Input(f"{PREFIX}colours", "data"),
            "before": State(f"{PREFIX}built", "data"),
            "shown": State(f"{PREFIX}tiles", "children"),
        },
    )
    async def refresh(
        query: str | None,
        tick: Any,  # noqa: ARG001 - that it changed is all it says
        scheme: Scheme | None,
        before: str | None,
        shown: Any,
    ) -> dict[str, Any]:
        if query is None or scheme is None:
            # The address or the browser's colours are not known yet; this comes again when they are.
            return nothing()
        selection, now = _of(query), datetime.now(UTC)
        days = selection.days(now)
        try:
            if before is not None and ctx.triggered_id == f"{PREFIX}tick":
                built = panels.moment_of((await store.frames({"it": queries.built()}))["it"])
                if edition(built, days) == before:
                    # What is there stays as it is: an open list must not be rebuilt under the pointer.
                    return nothing() | {"age": panels.age(built, now)}
            found = await store.frames(queries.first(selection, days))
            of = panels.drawable(found["templates"], selection)
            # Where there is no template to draw, none has the empty names.
            by_day = {"by_day": queries.by_day(selection, days, of or Template("", ""))}
            found |= await store.frames(by_day)
        except MissingTable:
            return nothing() | {"notice": panels.not_built(), "built": None}
        except StoreError as error:
            return nothing() | {"notice": failure(error, shown=bool(shown)), "built": None}
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


def edition(built: datetime | None, days: Days) -> str:
    """What changes the figures while the view stays the same: a new build, or a new day."""
    return f"{built:%FT%TZ} {days.last}" if built else f"none {days.last}"


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
        "built": edition(built, days),
        "age": panels.age(built, now),
        "authentic": found["simulated"].empty,
        "tiles": [drawn(tile) for tile in kpis.tiles(found["totals"])],
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
    parts = ("notice", "built", "age", "authentic", "tiles", "busy", "rows", "note", "flags")
    return {
        **dict.fromkeys((*parts, "drawable", "hint"), no_update),
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
