"""The charts of this page: one template, day by day. Days on which nothing is known are gaps, never zero."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from assay.dashboard.charts import Canvas
from assay.dashboard.efficiency import words

_NOTHING = "No traffic of this template in this range"


def completion(canvas: Canvas, days: pd.DataFrame) -> go.Figure:
    """Completion tokens per prompt token beside the median of the 28 days before, flagged days marked."""
    tokens = canvas.tokens
    traces = []
    if days["day_completion_ratio"].notna().any():
        hover = "%{y:.3f}"
        median = canvas.line(days, "day_trailing_median", "28 days before", tokens.other, hover)
        median.line.dash = "dot"
        traces = [median, canvas.line(days, "day_completion_ratio", "ratio", tokens.typical, hover)]
        for flag, name, symbol, colour in (
            ("day_is_verbosity_spike", "spike", "triangle-up", tokens.tail),
            ("day_is_truncation_drop", "drop", "triangle-down", tokens.alarm),
        ):
            flagged = days[days[flag] == 1]
            if len(flagged):
                marks = canvas.line(flagged, "day_completion_ratio", name, colour, hover)
                traces.append(marks.update(mode="markers", marker={"symbol": symbol, "size": 12}))
    empty = _NOTHING if days.empty else "No call reported its tokens"
    return canvas.figure(traces, empty=empty, legend=bool(traces))


def normalized(canvas: Canvas, days: pd.DataFrame) -> go.Figure:
    """US dollars per call and unit of task complexity."""
    known = days["normalized_per_call_usd"].notna().any()
    colour = canvas.tokens.typical
    line = canvas.line(days, "normalized_per_call_usd", "per call", colour, "$%{y:,.4~g}")
    empty = _NOTHING
    if len(days):
        tasks = [task for of_day in days["unknown_tasks"] for task in of_day]
        scales = "Complexity is on two scales" if (days["complexity_scales"] > 1).any() else ""
        untimed = f"Complexity unknown: {words.to_time(tasks)}" if tasks else ""
        empty = scales or untimed or "No call has a price"
    return canvas.figure([line] if known else [], empty=empty, tickprefix="$")


def cache(canvas: Canvas, days: pd.DataFrame, *, low: float) -> go.Figure:
    """Share of prompt tokens read from the provider's cache; a dotted line at ``low``."""
    known = days["cache_hit_rate"].notna().any()
    line = canvas.line(days, "cache_hit_rate", "hit rate", canvas.tokens.typical, "%{y:.1%}")
    empty = _NOTHING if days.empty else "No call reported cached tokens"
    figure = canvas.figure([line] if known else [], empty=empty, range=[0, 1.02], tickformat=".0%")
    if known:
        figure.add_hline(y=low, line={"color": canvas.tokens.muted, "width": 1, "dash": "dot"})
    return figure
