"""What the charts of every page share: time axis, colours, frame. Unknown periods are gaps, never zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from dash import dcc, html
from dash.development.base_component import Component

from assay.dashboard.markup import attributes
from assay.dashboard.theme import TOKENS, Scheme, Tokens, template
from assay.dashboard.windows import Window

_DAY_MS = 86_400_000
# Hours alone within a day, days alone beyond: the hover says both.
_TICKS = [
    {"dtickrange": [None, _DAY_MS - 1], "value": "%H:%M"},
    {"dtickrange": [_DAY_MS, None], "value": "%d %b"},
]

# Markers show measurements that have no neighbour to draw a line to; on dense charts they would only be
# noise.
_MARKERS_UP_TO = 32

_GRAPH: Any = {"displaylogo": False, "displayModeBar": False, "responsive": True}
_HEIGHT = 208


@dataclass(frozen=True)
class Group:
    """A member of the grouping dimension, as every chart of the page draws it. ``member`` is ``None`` for
    the rest.
    """

    member: str | None
    name: str
    colour: str


@dataclass(frozen=True)
class Canvas:
    """What all charts of one refresh share: the time axis, the colours and the members.

    ``view`` names what is shown, not empty; while it stays the same, what the viewer hid stays hidden.
    """

    window: Window
    scheme: Scheme
    groups: Sequence[Group] = ()
    grouped: bool = False
    view: str = "/"

    @property
    def tokens(self) -> Tokens:
        return TOKENS[self.scheme]

    def figure(self, traces: Sequence[Any], *, empty: str, legend: bool = False, **yaxis: Any) -> go.Figure:
        """A chart of ``traces`` over the window, or, where there are none, the words of ``empty``."""
        figure = go.Figure(list(traces))
        figure.update_layout(template=template(self.scheme), uirevision=self.view, showlegend=legend)
        # A legend of its own takes a line above the plot; members share the legend of the page.
        figure.update_layout(margin_t=30 if legend else 10)
        # Whole periods, also the one that runs. Not as `range`, so that a double click shows all again.
        periods = self.window.periods
        ends = [_naive(periods[0]), _naive(periods[-1] + self.window.step)]
        exactly = {"include": ends, "clipmin": ends[0], "clipmax": ends[1]}
        figure.update_xaxes(autorangeoptions=exactly, tickformatstops=_TICKS)
        figure.update_yaxes(**yaxis)
        if not traces:
            figure.update_xaxes(showticklabels=False, ticks="")
            figure.update_yaxes(showticklabels=False, showgrid=False)
            figure.add_annotation(
                text=empty,
                showarrow=False,
                x=0.5,
                y=0.5,
                xref="paper",
                yref="paper",
                font={"color": self.tokens.muted, "size": 13},
            )
        return figure

    def spread(self, frame: pd.DataFrame, column: str) -> pd.Series[float]:
        """``column`` at every period of the window, NaN where ``frame`` has no row or no value."""
        values = pd.Series(frame[column].astype("float64").to_numpy(), index=_utc(frame["period"]))
        return values.reindex(pd.DatetimeIndex(self.window.periods))

    def line(
        self, frame: pd.DataFrame, column: str, name: str, colour: str, hover: str, width: float = 1.75
    ) -> go.Scatter:
        values = self.spread(frame, column)
        return go.Scatter(
            x=_axis(values),
            y=values.to_numpy(),
            name=escaped(name),
            mode="lines+markers" if len(values) <= _MARKERS_UP_TO or _has_islands(values) else "lines",
            marker={"size": 4},
            line={"color": colour, "width": width},
            connectgaps=False,
            hovertemplate=f"{hover}<extra>{escaped(name)}</extra>",
        )

    def bars(self, frame: pd.DataFrame, column: str, name: str, colour: str, hover: str) -> go.Bar:
        # A bar per known value and none elsewhere: Plotly adds up a stack with plain sums, in which one NaN
        # lets every bar above it start at zero again, over the others.
        values = self.spread(frame, column).dropna()
        return go.Bar(
            x=_axis(values),
            y=values.to_numpy(),
            name=escaped(name),
            marker={"color": colour, "line": {"width": 0}},
            # Bars stand on their period, not around its start.
            offset=0,
            width=self.window.step.total_seconds() * 1000 * 0.9,
            hovertemplate=f"{hover}<extra>{escaped(name)}</extra>",
        )

    def by_member(self, draw: Any, frame: pd.DataFrame, column: str, hover: str) -> list[Any]:
        """``draw`` for each member that has a value of ``column``."""
        traces = []
        known = frame[frame[column].notna()]
        for group in self.groups:
            rows = known[known["member"].isna() if group.member is None else known["member"] == group.member]
            if len(rows):
                traces.append(draw(rows, column, group.name, group.colour, hover))
        return traces


def zoomed(figure: go.Figure, relayout: Mapping[str, Any] | None) -> go.Figure:
    """``figure`` at the viewer's zoom, as the chart last reported it (``relayoutData``)."""
    for axis in ("xaxis", "yaxis"):
        ends = [(relayout or {}).get(f"{axis}.range[{end}]") for end in (0, 1)]
        if None not in ends:
            figure.layout[axis].range = ends
    return figure


def blank(scheme: Scheme) -> go.Figure:
    """An empty chart of the right size and colours, for the moment before the first answer."""
    figure = go.Figure()
    figure.update_layout(template=template(scheme))
    figure.update_xaxes(visible=False)
    return figure.update_yaxes(visible=False)


def card(key: str, title: str) -> Component:
    """The place of a chart, with its title and unit (``key``, ``key-title``, ``key-unit``)."""
    return html.Section(
        className="card",
        **attributes(aria_labelledby=f"{key}-title"),
        children=[
            html.Header(
                children=[html.H2(title, id=f"{key}-title"), html.Span(id=f"{key}-unit", className="unit")]
            ),
            dcc.Graph(id=key, figure=blank("light"), config=_GRAPH, style={"height": _HEIGHT}),
        ],
    )


def _utc(times: pd.Series[Any]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(times, utc=True))


def _axis(values: pd.Series[float]) -> Any:
    # Plotly draws naive times as they are, which is UTC here; aware ones it would convert for some traces
    # only.
    return pd.DatetimeIndex(values.index).tz_localize(None).to_numpy()


def _naive(time: datetime) -> datetime:
    return time.replace(tzinfo=None)


def _has_islands(values: pd.Series[float]) -> bool:
    """Whether some value has no neighbour on either side."""
    known = values.notna()
    alone = known & ~known.shift(1, fill_value=False) & ~known.shift(-1, fill_value=False)
    return bool(alone.any())


def escaped(name: str) -> str:
    """``name`` as literal text of a label, whose markup is a subset of HTML and whose fields are braces."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
