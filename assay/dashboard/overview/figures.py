"""The charts of this page: data in, Plotly figure out. Periods without traffic are gaps, never zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from assay.dashboard.overview.selection import UNNAMED
from assay.dashboard.theme import TOKENS, Scheme, Tokens, colours, template
from assay.dashboard.windows import Grain, Window

OTHER = "other"

# Markers show measurements that have no neighbour to draw a line to; on dense charts they would only be noise.
_MARKERS_UP_TO = 80


@dataclass(frozen=True)
class Canvas:
    """What all charts of one refresh share: the time axis and the colours."""

    window: Window
    grain: Grain
    scheme: Scheme

    @property
    def tokens(self) -> Tokens:
        return TOKENS[self.scheme]

    @property
    def periods(self) -> list[datetime]:
        return self.window.periods(self.grain)

    def figure(self, traces: Sequence[Any], unit: str, *, empty: str, **yaxis: Any) -> go.Figure:
        """A chart of ``traces`` over the window, or, where there are none, the words of ``empty``."""
        figure = go.Figure(list(traces))
        figure.update_layout(
            template=template(self.scheme),
            # The viewer's zoom and hidden series survive a refresh, until the window becomes another one.
            uirevision=f"{self.grain.name} {self.window.length}",
            showlegend=len(traces) > 1,
        )
        first = self.grain.floor(self.window.start)
        figure.update_xaxes(range=[_naive(first), _naive(self.window.end)], title_text="Time (UTC)")
        figure.update_yaxes(title_text=unit, **yaxis)
        if not traces:
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
        values = pd.Series(
            pd.to_numeric(frame[column].astype("float64")).to_numpy(), index=_utc(frame["period"])
        )
        return values.reindex(pd.DatetimeIndex(self.periods))

    def line(self, frame: pd.DataFrame, column: str, name: str, colour: str, hover: str) -> go.Scatter:
        values = self.spread(frame, column)
        sparse = len(values) <= _MARKERS_UP_TO
        return go.Scatter(
            x=_axis(values),
            y=values.to_numpy(),
            name=name,
            mode="lines+markers" if sparse or _has_islands(values) else "lines",
            marker={"size": 4},
            line={"color": colour, "width": 2},
            connectgaps=False,
            hovertemplate=hover,
        )

    def bars(self, frame: pd.DataFrame, column: str, name: str, colour: str, hover: str) -> go.Bar:
        values = self.spread(frame, column)
        return go.Bar(
            x=_axis(values),
            y=values.to_numpy(),
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            # Bars stand on their period, not around its start.
            offset=0,
            width=self.grain.length.total_seconds() * 1000 * 0.92,
            hovertemplate=hover,
        )


def spend(canvas: Canvas, breakdown: pd.DataFrame) -> go.Figure:
    """US dollars per period, stacked by the members of the grouping dimension."""
    priced = breakdown[breakdown["cost_usd"].notna()]
    members = [str(m) for m in priced["member"].dropna().unique()]
    totals = {m: float(priced.loc[priced["member"] == m, "cost_usd"].astype("float64").sum()) for m in members}
    palette = colours(members, canvas.scheme)
    bars = []
    for member in sorted(members, key=lambda m: (-totals[m], m)):
        name = member or UNNAMED
        hover = f"{_escaped(name)}: $%{{y:,.4~f}}<extra></extra>"
        rows = priced[priced["member"] == member]
        bars.append(canvas.bars(rows, "cost_usd", name, palette[member], hover))
    rest = priced[priced["member"].isna()]
    if len(rest):
        hover = f"{OTHER}: $%{{y:,.4~f}}<extra></extra>"
        bars.append(canvas.bars(rest, "cost_usd", OTHER, canvas.tokens.other, hover))
    empty = "No traffic in this range" if breakdown.empty else "No call in this range has a price"
    figure = canvas.figure(bars, f"US dollars per {canvas.grain.label}", empty=empty, tickprefix="$")
    return figure.update_layout(barmode="stack")


def requests(canvas: Canvas, trend: pd.DataFrame) -> go.Figure:
    """Calls per period, those that failed apart."""
    bars: list[go.Bar] = []
    if len(trend):
        # Stacked, so that the height is all calls.
        frame = trend.assign(succeeded=trend["request_count"].astype("int64") - trend["error_count"].astype("int64"))
        hover = "%{y:,.0f}<extra>%{fullData.name}</extra>"
        bars = [
            canvas.bars(frame, "succeeded", "without error", canvas.tokens.categories[4], hover),
            canvas.bars(frame, "error_count", "errors", canvas.tokens.bad, hover),
        ]
    figure = canvas.figure(bars, f"calls per {canvas.grain.label}", empty="No traffic in this range")
    return figure.update_layout(barmode="stack")


def latency(canvas: Canvas, trend: pd.DataFrame) -> go.Figure:
    """Median and 95th percentile of the time that a call took."""
    lines = []
    if len(trend) and trend["latency_p50_ms"].notna().any():
        hover = "%{y:,.0f} ms<extra>%{fullData.name}</extra>"
        lines = [
            canvas.line(trend, "latency_p95_ms", "p95", canvas.tokens.tail, hover),
            canvas.line(trend, "latency_p50_ms", "p50", canvas.tokens.typical, hover),
        ]
    empty = "No traffic in this range" if trend.empty else "No call in this range reported its latency"
    return canvas.figure(lines, "milliseconds", empty=empty)


def quality(canvas: Canvas, trend: pd.DataFrame, *, traffic: bool) -> go.Figure:
    """Mean score per period, weighted by 1 / sampling rate, one line per evaluator; hover gives the count.

    Args:
        canvas: axis and colours.
        trend: answer of ``queries.quality_trend``.
        traffic: whether there were calls that could have been judged.
    """
    judged = trend[trend["quality_mean"].notna()]
    lines = []
    names = (judged["evaluator"].astype(str) + " " + judged["evaluator_version"].astype(str)).str.strip()
    palette = colours(names, canvas.scheme)
    for name in sorted(names.unique()):
        rows = judged[names == name]
        line = canvas.line(rows, "quality_mean", name, palette[name], "")
        line.customdata = canvas.spread(rows, "evaluation_count").to_numpy()
        line.hovertemplate = "%{y:.3f} (%{customdata:,.0f} scores)<extra>%{fullData.name}</extra>"
        lines.append(line)
    empty = "Not judged in this range" if traffic else "No traffic in this range"
    figure = canvas.figure(lines, "mean score", empty=empty, range=[0, 1.02])
    return figure.update_layout(showlegend=bool(lines))


def cache(canvas: Canvas, trend: pd.DataFrame, *, low: float) -> go.Figure:
    """Share of prompt tokens read from the provider's cache; a dotted line at ``low``, below which it is flagged."""
    lines = []
    if len(trend) and trend["cache_hit_rate"].notna().any():
        hover = "%{y:.1%}<extra></extra>"
        lines = [canvas.line(trend, "cache_hit_rate", "cache hit rate", canvas.tokens.categories[2], hover)]
    empty = "No traffic in this range" if trend.empty else "No call in this range reported cached tokens"
    figure = canvas.figure(lines, "share of prompt tokens", empty=empty, range=[0, 1.02], tickformat=".0%")
    if lines:
        figure.add_hline(
            y=low,
            line={"color": canvas.tokens.muted, "width": 1, "dash": "dot"},
            annotation={
                "text": f"flagged below {low:.0%}",
                "font": {"size": 10, "color": canvas.tokens.muted},
            },
            annotation_position="bottom right",
        )
    return figure


def velocity(canvas: Canvas, trend: pd.DataFrame) -> go.Figure:
    """Completion tokens per second of streaming, median and 95th percentile of the calls."""
    lines = []
    if len(trend) and trend["velocity_p50"].notna().any():
        hover = "%{y:,.1f} tokens/s<extra>%{fullData.name}</extra>"
        lines = [
            canvas.line(trend, "velocity_p95", "p95", canvas.tokens.tail, hover),
            canvas.line(trend, "velocity_p50", "p50", canvas.tokens.typical, hover),
        ]
    empty = "No traffic in this range" if trend.empty else "No call in this range reported its latency"
    return canvas.figure(lines, "completion tokens per second", empty=empty)


def blank(canvas: Canvas) -> go.Figure:
    """An empty chart of the right size and colours, for the moment before the first answer."""
    return canvas.figure([], "", empty="")


def _utc(times: pd.Series[Any]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(times, utc=True))


def _axis(values: pd.Series[float]) -> Any:
    # Plotly draws naive times as they are, which is UTC here; aware ones it would convert for some traces only.
    return pd.DatetimeIndex(values.index).tz_localize(None).to_numpy()


def _naive(time: datetime) -> datetime:
    return time.replace(tzinfo=None)


def _has_islands(values: pd.Series[float]) -> bool:
    """Whether some value has no neighbour on either side."""
    known = values.notna()
    alone = known & ~known.shift(1, fill_value=False) & ~known.shift(-1, fill_value=False)
    return bool(alone.any())


def _escaped(name: str) -> str:
    """``name`` as literal text of a hover template, whose markup is a subset of HTML and whose fields are braces."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
