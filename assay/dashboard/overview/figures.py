"""The charts of this page: data in, Plotly figure out. Periods without traffic are gaps, never zero."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from assay.dashboard.address import UNNAMED
from assay.dashboard.charts import Canvas, Group
from assay.dashboard.theme import TOKENS, Scheme, colours

OTHER = "other"
ALL = "all calls"
NO_TRAFFIC = "No traffic in this range"


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
