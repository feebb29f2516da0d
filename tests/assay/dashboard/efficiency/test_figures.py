from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest

from assay.dashboard.charts import Canvas
from assay.dashboard.efficiency import figures
from assay.dashboard.efficiency.selection import Days
from tests.assay.dashboard.efficiency.answers import DAY, day, days

WEEK = Days(DAY - timedelta(days=6), DAY + timedelta(days=1))
CANVAS = Canvas(WEEK, "light", view="view")


def ago(count: int) -> Any:
    return DAY - timedelta(days=count)


def words(figure: Any) -> list[str]:
    # A line's own mark has no words.
    return [annotation.text for annotation in figure.layout.annotations]


cache = partial(figures.cache, low=0.3)


def test_days_without_traffic_are_gaps_and_not_zero() -> None:
    frame = days(day(), day(period=ago(3)))
    for draw, name in (
        (figures.completion, "ratio"),
        (figures.normalized, "per call"),
        (cache, "hit rate"),
    ):
        (line,) = (trace for trace in draw(CANVAS, frame).data if trace.name == name)
        values = np.asarray(line.y, dtype=float)
        assert list(np.flatnonzero(~np.isnan(values))) == [3, 6]


def test_flagged_days_are_marked_where_they_are() -> None:
    frame = days(
        day(period=ago(2), day_completion_ratio=0.5, day_is_verbosity_spike=1.0),
        day(period=ago(1), day_completion_ratio=0.05, day_is_truncation_drop=1.0),
        day(day_trailing_median=None, day_is_verbosity_spike=None, day_is_truncation_drop=None),
    )
    traces = {trace.name: trace for trace in figures.completion(CANVAS, frame).data}
    assert list(traces) == ["28 days before", "ratio", "spike", "drop"]
    for name, at, value in (("spike", 4, 0.5), ("drop", 5, 0.05)):
        drawn = np.asarray(traces[name].y, dtype=float)
        assert traces[name].mode == "markers"
        assert list(np.flatnonzero(~np.isnan(drawn))) == [at]
        assert drawn[at] == pytest.approx(value)
    # Told apart by more than colour.
    assert traces["spike"].marker.symbol != traces["drop"].marker.symbol


def test_a_quiet_week_has_no_marks() -> None:
    assert [trace.name for trace in figures.completion(CANVAS, days(day())).data] == [
        "28 days before",
        "ratio",
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"unknown_tasks": ["smalltalk"]}, "Complexity unknown: time its tasks: assay load task-times"),
        ({"unknown_tasks": [""]}, "Complexity unknown: send a task_type with each call"),
        ({}, "No call has a price"),
        ({"complexity_scales": 2}, "Complexity is on two scales"),
    ],
)
def test_why_there_is_no_normalized_cost_is_said(fields: dict[str, Any], said: str) -> None:
    frame = days(day(normalized_per_call_usd=None, **fields))
    assert words(figures.normalized(CANVAS, frame)) == [said]


def test_what_is_missing_is_said_in_the_chart() -> None:
    frame = days(day(day_completion_ratio=None, day_trailing_median=None, cache_hit_rate=None))
    assert words(figures.completion(CANVAS, frame)) == ["No call reported its tokens"]
    assert words(cache(CANVAS, frame)) == ["No call reported cached tokens"]
    for draw in (figures.completion, figures.normalized, cache):
        assert words(draw(CANVAS, days())) == ["No traffic of this template in this range"]
