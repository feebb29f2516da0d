"""The charts of this page: data in, Plotly figure out. Periods without traffic are gaps, never zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from assay.dashboard.overview.selection import UNNAMED
from assay.dashboard.theme import TOKENS, Scheme, Tokens, colours, template
from assay.dashboard.windows import Window

OTHER = "other"
ALL = "all calls"
NO_TRAFFIC = "No traffic in this range"

_DAY_MS = 86_400_000
# Hours alone within a day, days alone beyond: the hover says both.
_TICKS = [
    {"dtickrange": [None, _DAY_MS - 1], "value": "%H:%M"},
    {"dtickrange": [_DAY_MS, None], "value": "%d %b"},
]

# Markers show measurements that have no neighbour to draw a line to; on dense charts they would only be
# noise.
_MARKERS_UP_TO = 32


@dataclass(frozen=True)
class Group:
    """A member of the grouping dimension, as every chart of the page draws it. ``member`` is ``None`` for
    the rest.
    """

    member: str | None
    name: str
    colour: str


def groups(trend: pd.DataFrame, scheme: Scheme, *, grouped: bool) -> list[Group]:
    """The members of an answer of ``queries.trend``, the dearest first, the rest last."""
    tokens = TOKENS[scheme]
    if not grouped:
        return [Group("", ALL, tokens.categories[0])] if len(trend) else []
    named = trend[trend["member"].notna()]
    sums = pd.DataFrame(
        {
            "member": named["member"].astype(str),
            "cost": named["cost_usd"].astype("float64"),
            "calls": named["request_count"].astype("float64"),
        }
    )
    ranked = sums.groupby("member", as_index=False).sum()
    ranked = ranked.sort_values(["cost", "calls", "member"], ascending=[False, False, True])
    members = [str(member) for member in ranked["member"]]
    palette = colours(members, scheme)
    found = [Group(m, m or UNNAMED, palette[m]) for m in members]
    return [*found, Group(None, OTHER, tokens.other)] if trend["member"].isna().any() else found


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
            name=_escaped(name),
            mode="lines+markers" if len(values) <= _MARKERS_UP_TO or _has_islands(values) else "lines",
            marker={"size": 4},
            line={"color": colour, "width": width},
            connectgaps=False,
            hovertemplate=f"{hover}<extra>{_escaped(name)}</extra>",
        )

    def bars(self, frame: pd.DataFrame, column: str, name: str, colour: str, hover: str) -> go.Bar:
        # A bar per known value and none elsewhere: Plotly adds up a stack with plain sums, in which one NaN
        # lets every bar above it start at zero again, over the others.
        values = self.spread(frame, column).dropna()
        return go.Bar(
            x=_axis(values),
            y=values.to_numpy(),
            name=_escaped(name),
            marker={"color": colour, "line": {"width": 0}},
            # Bars stand on their period, not around its start.
            offset=0,
            width=self.window.step.total_seconds() * 1000 * 0.9,
            hovertemplate=f"{hover}<extra>{_escaped(name)}</extra>",
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


def spend(canvas: Canvas, trend: pd.DataFrame) -> go.Figure:
    """US dollars per period, stacked by member."""
    bars = canvas.by_member(canvas.bars, trend, "cost_usd", "$%{y:,.4~f}")
    empty = NO_TRAFFIC if trend.empty else "No call in this range has a price"
    return canvas.figure(bars, empty=empty, tickprefix="$").update_layout(barmode="stack")


def requests(canvas: Canvas, trend: pd.DataFrame) -> go.Figure:
    """Calls per period, stacked by member; ungrouped, those that failed apart."""
    hover = "%{y:,.0f}"
    if canvas.grouped:
        bars = canvas.by_member(canvas.bars, trend, "request_count", hover)
    elif trend.empty:
        bars = []
    else:
        # Stacked, so that the height is all calls.
        frame = trend.assign(
            succeeded=trend["request_count"].astype("int64") - trend["error_count"].astype("int64")
        )
        bars = [
            canvas.bars(frame, "succeeded", "without error", canvas.tokens.categories[4], hover),
            canvas.bars(frame, "error_count", "errors", canvas.tokens.bad, hover),
        ]
    figure = canvas.figure(bars, empty=NO_TRAFFIC, legend=bool(bars) and not canvas.grouped)
    return figure.update_layout(barmode="stack")


def latency(canvas: Canvas, trend: pd.DataFrame) -> go.Figure:
    """95th percentile of the seconds that a call took, by member; ungrouped, the median beside it."""
    seconds = trend.assign(
        p95=trend["latency_p95_ms"].astype("float64") / 1000,
        p50=trend["latency_p50_ms"].astype("float64") / 1000,
    )
    return _tail_and_median(canvas, seconds, "p95", "p50", "%{y:,.2f} s", tail_first=True)


def velocity(canvas: Canvas, trend: pd.DataFrame) -> go.Figure:
    """Completion tokens per second of streaming: median of the calls, by member; ungrouped, p95 beside it."""
    return _tail_and_median(
        canvas, trend, "velocity_p95", "velocity_p50", "%{y:,.1f} tokens/s", tail_first=False
    )


def cache(canvas: Canvas, trend: pd.DataFrame, *, low: float) -> go.Figure:
    """Share of prompt tokens read from the provider's cache; a dotted line at ``low``, below which it is
    flagged.
    """
    lines = canvas.by_member(canvas.line, trend, "cache_hit_rate", "%{y:.1%}")
    empty = NO_TRAFFIC if trend.empty else "No call in this range reported cached tokens"
    figure = canvas.figure(lines, empty=empty, range=[0, 1.02], tickformat=".0%")
    if lines:
        figure.add_hline(y=low, line={"color": canvas.tokens.muted, "width": 1, "dash": "dot"})
    return figure


def quality(canvas: Canvas, trend: pd.DataFrame, *, traffic: bool) -> go.Figure:
    """Mean score per period, weighted by 1 / sampling rate: one line per member, or, ungrouped, per
    evaluator. The hover gives the number of scores.

    Args:
        canvas: axis, colours and members.
        trend: answer of ``queries.quality_trend``.
        traffic: whether there were calls that could have been judged.
    """
    judged = trend[trend["quality_mean"].notna()]

    def draw(rows: pd.DataFrame, column: str, name: str, colour: str, hover: str) -> go.Scatter:
        line = canvas.line(rows, column, name, colour, hover)
        line.customdata = canvas.spread(rows, "evaluation_count").to_numpy()
        return line

    hover = "%{y:.3f} (%{customdata:,.0f} scores)"
    if canvas.grouped:
        lines = canvas.by_member(draw, judged, "quality_mean", hover)
    else:
        names = (judged["evaluator"].astype(str) + " " + judged["evaluator_version"].astype(str)).str.strip()
        palette = colours(names, canvas.scheme)
        lines = [
            draw(judged[names == name], "quality_mean", name, palette[name], hover)
            for name in sorted(names.unique())
        ]
    empty = "Not judged in this range" if traffic else NO_TRAFFIC
    return canvas.figure(lines, empty=empty, legend=bool(lines) and not canvas.grouped, range=[0, 1.02])


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


def _tail_and_median(
    canvas: Canvas, trend: pd.DataFrame, tail: str, median: str, hover: str, *, tail_first: bool
) -> go.Figure:
    """Lines of one of two quantiles by member; ungrouped, of both."""
    column = tail if tail_first else median
    if canvas.grouped:
        lines = canvas.by_member(canvas.line, trend, column, hover)
    elif trend.empty or trend[column].isna().all():
        lines = []
    else:
        lines = [
            canvas.line(trend, tail, "p95", canvas.tokens.tail, hover),
            canvas.line(trend, median, "p50", canvas.tokens.typical, hover),
        ]
    empty = NO_TRAFFIC if trend.empty else "No call in this range reported its latency"
    return canvas.figure(lines, empty=empty, legend=bool(lines) and not canvas.grouped)


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


def _escaped(name: str) -> str:
    """``name`` as literal text of a label, whose markup is a subset of HTML and whose fields are braces."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
