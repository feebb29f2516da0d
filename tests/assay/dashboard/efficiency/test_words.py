from __future__ import annotations

from typing import Any

import pytest

from assay.dashboard.efficiency import words
from tests.assay.dashboard.efficiency.answers import UNKNOWN, row


@pytest.mark.parametrize(
    ("value", "said"), [(1, "1 trace"), (0, "0 traces"), (2.0, "2 traces"), (1234, "1,234 traces")]
)
def test_things_are_counted(value: float, said: str) -> None:
    assert words.counted(value, "trace") == said


@pytest.mark.parametrize("value", [None, float("nan")])
def test_what_nobody_counted_is_not_none_of_it(value: float | None) -> None:
    assert words.counted(value, "trace") == ""


@pytest.mark.parametrize(
    ("spikes", "drops", "said"),
    [(0, 0, "none"), (1, 0, "1 spike"), (0, 1, "1 drop"), (2, 3, "2 spikes, 3 drops"), (None, None, None)],
)
def test_flagged_days(spikes: int | None, drops: int | None, said: str | None) -> None:
    flagged = None if spikes is None or drops is None else spikes + drops
    assert words.flagged(row(spike_days=spikes, drop_days=drops, flagged_days=flagged)) == said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "human-time, n = 7"),
        ({"normalized_count": 300}, "human-time, n = 7, 25.0% of calls"),
        # None has a price: that is said in the place of the figure.
        ({"normalized_count": None}, "human-time, n = 7"),
        ({"complexity_sources": ["examples", "human-time"]}, "examples + human-time, n = 7"),
        (UNKNOWN, ""),
    ],
)
def test_what_a_complexity_rests_on(fields: dict[str, Any], said: str) -> None:
    assert words.complexity(row(**fields)) == said


@pytest.mark.parametrize(
    ("scales", "said"), [(0, "complexity unknown"), (1, "no price"), (2, "on two scales")]
)
def test_why_there_is_no_normalized_cost(scales: int, said: str) -> None:
    assert words.no_normalized(row(complexity_scales=scales)) == said


@pytest.mark.parametrize(
    ("tasks", "said", "fix"),
    [
        ([], "", "send a task_type"),
        ([""], "no task_type sent", "send a task_type"),
        (["", "smalltalk"], "task smalltalk", "assay load task-times"),
        (["code", "rag"], "task code, rag", "assay load task-times"),
    ],
)
def test_tasks_that_nobody_timed(tasks: list[str], said: str, fix: str) -> None:
    assert words.untimed(row(unknown_tasks=tasks)) == said
    assert fix in words.to_time(tasks)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (["calls"], "at what the month's calls were charged"),
        (["list"], "at list prices"),
        (["calls", "list"], "at charged and list prices"),
        (["calls and list"], "at charged and list prices"),
    ],
)
def test_whose_prices_a_missed_discount_is_at(sources: list[str], said: str) -> None:
    assert words.priced_by(row(missed_sources=sources)) == said


@pytest.mark.parametrize(("converted", "said"), [(None, "not sent"), (0, "no conversions"), (3, "no price")])
def test_why_there_is_no_cost_per_conversion(converted: int | None, said: str) -> None:
    assert words.no_conversion_cost(row(converted_count=converted)) == said


@pytest.mark.parametrize(("unknown", "said"), [(0, "not reported"), (1, "no price")])
def test_why_nobody_knows_what_was_missed(unknown: int, said: str) -> None:
    assert words.no_missed(row(missed_unknown=unknown)) == said
