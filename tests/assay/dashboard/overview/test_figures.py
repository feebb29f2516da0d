from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assay.dashboard.charts import Canvas, Group, blank, zoomed
from assay.dashboard.overview import figures
from assay.dashboard.theme import TOKENS
from assay.dashboard.windows import Window

START = datetime(2026, 3, 18, 14, 0, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(minutes=10))


def trend(*rows: dict[str, Any]) -> pd.DataFrame:
    full: dict[str, Any] = {
        "period": START,
        "member": "org_1",
        "request_count": 10,
        "error_count": 1,
        "cost_usd": Decimal("0.5"),
        "cache_hit_rate": 0.4,
        "latency_p50_ms": 900.0,
        "latency_p95_ms": 2000.0,
        "velocity_p50": 60.0,
        "velocity_p95": 90.0,
    }
    return pd.DataFrame([full | row for row in rows], columns=list(full))


def scored(*rows: dict[str, Any]) -> pd.DataFrame:
    full: dict[str, Any] = {
        "period": START,
        "member": "org_1",
        "evaluator": "judge",
        "evaluator_version": "2",
        "evaluation_count": 5,
        "quality_mean": 0.8,
    }
    return pd.DataFrame([full | row for row in rows], columns=list(full))


def canvas(frame: pd.DataFrame, *, grouped: bool = True, scheme: Any = "light") -> Canvas:
    members = figures.groups(frame, scheme, grouped=grouped)
    return Canvas(WINDOW, scheme, members, grouped, "view")


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def test_members_are_ordered_by_spend_and_the_rest_comes_last() -> None:
    frame = trend(
        {"member": None, "cost_usd": Decimal(100)},
        {"member": "cheap", "cost_usd": Decimal(1)},
        {"member": "dear", "cost_usd": Decimal(3)},
        {"member": "dear", "cost_usd": Decimal(4), "period": minute(1)},
        {"member": "", "cost_usd": None},
    )
    found = figures.groups(frame, "dark", grouped=True)
    assert [(group.member, group.name) for group in found] == [
        ("dear", "dear"),
        ("cheap", "cheap"),
        ("", "(none)"),
        (None, "other"),
    ]
    colours = [group.colour for group in found]
    assert len(set(colours)) == 4
    assert colours[-1] == TOKENS["dark"].other


def test_a_member_keeps_its_colour_when_the_order_changes() -> None:
    first = figures.groups(
        trend({"member": "a"}, {"member": "b", "cost_usd": Decimal(9)}), "light", grouped=True
    )
    second = figures.groups(
        trend({"member": "a", "cost_usd": Decimal(99)}, {"member": "b"}), "light", grouped=True
    )
    assert {group.name: group.colour for group in first} == {group.name: group.colour for group in second}


def test_periods_without_traffic_are_gaps_and_not_zero() -> None:
    frame = trend({"period": minute(2)}, {"period": minute(4), "cost_usd": None})
    for draw in (figures.latency, figures.velocity):
        (line,) = draw(canvas(frame), frame).data
        values = np.asarray(line.y, dtype=float)
        assert len(values) == 10
        assert np.isnan(values[[0, 1, 3, 5, 9]]).all()
        assert not np.isnan(values[2])
    # A bar that is not there is no point at all.
    for draw, drawn in ((figures.requests, [2, 4]), (figures.spend, [2])):
        (bars,) = draw(canvas(frame), frame).data
        assert list(pd.DatetimeIndex(bars.x).minute) == drawn
        assert len(bars.y) == len(drawn)


def test_grouped_charts_draw_every_member_in_its_colour() -> None:
    frame = trend({"member": "a"}, {"member": "b"}, {"member": None})
    drawn = canvas(frame)
    for draw in (figures.spend, figures.requests):
        figure = draw(drawn, frame)
        assert [trace.name for trace in figure.data] == ["a", "b", "other"]
        assert [trace.marker.color for trace in figure.data] == [group.colour for group in drawn.groups]
        assert figure.layout.barmode == "stack"
        assert figure.layout.showlegend is False


def test_ungrouped_charts_show_errors_and_both_quantiles() -> None:
    frame = trend({"member": "", "request_count": 10, "error_count": 3})
    drawn = canvas(frame, grouped=False)
    requests = figures.requests(drawn, frame)
    assert {trace.name: trace.y[0] for trace in requests.data} == {"without error": 7, "errors": 3}
    assert [trace.name for trace in figures.latency(drawn, frame).data] == ["p95", "p50"]
    assert [trace.name for trace in figures.velocity(drawn, frame).data] == ["p95", "p50"]
    assert requests.layout.showlegend is True


def test_latency_is_in_seconds() -> None:
    frame = trend({})
    (line,) = figures.latency(canvas(frame), frame).data
    assert line.y[0] == pytest.approx(2.0)


def test_quality_is_drawn_by_member_or_by_evaluator() -> None:
    frame = scored({}, {"member": None, "quality_mean": 0.5}, {"member": "unjudged", "quality_mean": None})
    by_member = figures.quality(canvas(trend({}, {"member": None})), frame, traffic=True)
    assert [trace.name for trace in by_member.data] == ["org_1", "other"]
    by_evaluator = figures.quality(
        canvas(trend({"member": ""}), grouped=False),
        scored({"member": ""}, {"member": "", "evaluator_version": "3"}),
        traffic=True,
    )
    assert [trace.name for trace in by_evaluator.data] == ["judge 2", "judge 3"]
    assert by_evaluator.data[0].customdata[0] == 5


@pytest.mark.parametrize("grouped", [True, False])
def test_what_is_missing_is_said_in_the_chart(grouped: bool) -> None:
    member = "org_1" if grouped else ""
    unknown = dict.fromkeys(
        ["cost_usd", "cache_hit_rate", "latency_p50_ms", "latency_p95_ms", "velocity_p50", "velocity_p95"]
    )
    frame = trend({"member": member} | unknown)
    drawn = canvas(frame, grouped=grouped)

    def words(figure: Any) -> list[str]:
        return [annotation.text for annotation in figure.layout.annotations]

    assert words(figures.spend(drawn, frame)) == ["No call in this range has a price"]
    assert words(figures.latency(drawn, frame)) == ["No call in this range reported its latency"]
    assert words(figures.velocity(drawn, frame)) == ["No call in this range reported its latency"]
    assert words(figures.cache(drawn, frame, low=0.3)) == ["No call in this range reported cached tokens"]
    assert words(figures.quality(drawn, scored(), traffic=True)) == ["Not judged in this range"]
    assert words(figures.requests(drawn, frame)) == []

    nothing = canvas(trend(), grouped=grouped)
    for figure in (
        figures.spend(nothing, trend()),
        figures.requests(nothing, trend()),
        figures.latency(nothing, trend()),
        figures.velocity(nothing, trend()),
        figures.cache(nothing, trend(), low=0.3),
        figures.quality(nothing, scored(), traffic=False),
    ):
        assert words(figure) == ["No traffic in this range"]


def test_charts_span_the_window_whatever_has_traffic() -> None:
    frame = trend({"period": minute(4)})
    axis = figures.spend(canvas(frame), frame).layout.xaxis
    assert axis.range is None
    assert axis.autorangeoptions.clipmin == START.replace(tzinfo=None)
    assert axis.autorangeoptions.clipmax == WINDOW.end.replace(tzinfo=None)
    assert list(axis.autorangeoptions.include) == [
        axis.autorangeoptions.clipmin,
        axis.autorangeoptions.clipmax,
    ]


def test_the_running_period_is_drawn_whole() -> None:
    noon = START.replace(hour=12, minute=0)
    month = Canvas(window=Window(noon - timedelta(days=30, hours=12), noon), scheme="light")
    axis = month.figure([], empty="").layout.xaxis
    assert axis.autorangeoptions.clipmax == (noon + timedelta(hours=12)).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("reported", "x", "y"),
    [
        ({"xaxis.range[0]": "2026-03-18 14:02", "xaxis.range[1]": "2026-03-18 14:05"}, True, False),
        ({"yaxis.range[0]": 0, "yaxis.range[1]": 2.5}, False, True),
        ({"xaxis.autorange": True}, False, False),
        ({"autosize": True}, False, False),
        (None, False, False),
    ],
)
def test_a_refresh_keeps_the_zoom(reported: dict[str, Any] | None, x: bool, y: bool) -> None:
    frame = trend({})
    layout = zoomed(figures.spend(canvas(frame), frame), reported).layout
    assert (layout.xaxis.range is not None) is x
    assert (layout.yaxis.range is not None) is y


def test_names_are_text_and_not_markup() -> None:
    frame = trend({"member": "<b>a</b> %{y}"})
    drawn = Canvas(WINDOW, "light", [Group("<b>a</b> %{y}", "<b>a</b> %{y}", "#000")], True)
    (bar,) = figures.spend(drawn, frame).data
    assert bar.name == "&lt;b>a&lt;/b> % {y}"
    assert "<b>" not in bar.hovertemplate


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_blank_has_the_colours_of_the_scheme(scheme: Any) -> None:
    assert blank(scheme).layout.template.layout.font.color == TOKENS[scheme].text
