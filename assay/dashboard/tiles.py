"""Tiles: one figure each, on top of a page. What is unknown is said in words, in the place of the figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dash import html
from dash.development.base_component import Component

from assay.dashboard import format
from assay.dashboard.markup import attributes

Better = Literal["up", "down", "neither"]


@dataclass(frozen=True)
class Tile:
    """One figure on the screen.

    Attributes:
        key: stable id.
        title: what it is.
        value: the figure, or, if it is unknown, what is missing.
        known: whether ``value`` is a figure.
        note: a second, quieter line.
        change: relative change from the previous period; ``None`` if there is nothing to compare with.
        better: which direction of change is good.
        flagged: whether the value itself calls for a look.
    """

    key: str
    title: str
    value: str
    known: bool
    note: str
    change: float | None = None
    better: Better = "neither"
    flagged: bool = False


def drawn(tile: Tile, span: str = "") -> Component:
    """The tile as it stands on the page.

    Args:
        tile: the figure.
        span: what its change is against, in words.
    """
    change: Component | None = None
    if tile.change is not None and tile.known:
        up = tile.change > 0
        # Half a percent is noise: no judgement on it.
        steady = abs(tile.change) < 0.005 or tile.better == "neither"
        verdict = "" if steady else "good" if up == (tile.better == "up") else "bad"
        change = html.Span(
            format.signed_percent(tile.change),
            className=f"change {verdict}",
            title=f"compared with the {span}",
        )
    return html.Div(
        className="tile flagged" if tile.flagged else "tile",
        **attributes(data_key=tile.key),
        children=[
            html.Div(tile.title, className="tile-title"),
            html.Div(
                [html.Span(tile.value, className="value" if tile.known else "value unknown"), change],
                className="tile-value",
            ),
            html.Div(tile.note or "\u00a0", className="tile-note", title=tile.note or None),
        ],
    )
