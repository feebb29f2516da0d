"""Tables of figures: headings to sort by, and cells."""

from __future__ import annotations

from typing import Any, NamedTuple

from dash import html
from dash.development.base_component import Component

from assay.dashboard.markup import attributes


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: to sort by, in the address.
        label: its heading.
        hint: what that says in full.
        figure: whether it has figures, which are first asked for from the top; names are from A.
    """

    name: str
    label: str
    hint: str
    figure: bool


def heading(column: Column, prefix: str = "") -> Component:
    """The column's heading, a button to sort by it.

    Args:
        column: its column.
        prefix: of the ids ``sort-…`` and ``head-…``, where a page is not the first.
    """
    arrow = html.Span(className="arrow", **attributes(aria_hidden="true"))
    return html.Th(
        html.Button([column.label, arrow], id=f"{prefix}sort-{column.name}"),
        id=f"{prefix}head-{column.name}",
        scope="col",
        title=column.hint or None,
        className="figure" if column.figure else None,
        **attributes(aria_sort="none"),
    )


def figure(
    text: str | None,
    missing: str,
    *,
    flagged: bool = False,
    partial: bool = False,
    title: str | None = None,
    beside: str = "",
) -> Component:
    """A cell with a figure.

    Args:
        text: the figure; ``None`` where it is unknown.
        missing: what is missing then, in words.
        flagged: whether it calls for a look.
        partial: whether it is a sum that leaves calls out.
        title: more about it.
        beside: what it rests on, below it.
    """
    more = [html.Div(beside, className="beside")] if beside else []
    if text is None:
        return html.Td([missing, *more], className="figure unknown", title=title)
    # A sum that leaves calls out is marked as such.
    shown: Any = [text, *([html.Span("*", className="partial")] if partial else []), *more]
    return html.Td(shown, className="figure flagged" if flagged else "figure", title=title)
