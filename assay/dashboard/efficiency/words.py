"""Figures of this page in words, the same in a tile and in a row of the table. ``row`` is one of the answer
of ``queries.totals`` or ``queries.templates``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from assay.dashboard import format

Row = Mapping[Any, Any]

_PRICED_BY: Mapping[tuple[str, ...], str] = {
    ("calls",): "at what the month's calls were charged",
    ("list",): "at list prices",
}


def counted(value: Any, one: str) -> str:
    """``1 trace``, ``2 traces``; empty where nobody knows how many."""
    number = format.count(value)
    if number is None:
        return ""
    return f"{number} {one}" if number == "1" else f"{number} {one}s"


def ratio(value: Any) -> str | None:
    """Completion tokens per prompt token."""
    number = format.known(value)
    return None if number is None else f"{number:.3f}"


def flagged(row: Row) -> str | None:
    """Spikes and drops; ``None`` where no day could be compared with those before it."""
    if format.known(row["flagged_days"]) is None:
        return None
    found = [counted(row[f"{kind}_days"], kind) for kind in ("spike", "drop") if row[f"{kind}_days"]]
    return ", ".join(found) or "none"


def no_normalized(row: Row) -> str:
    """Why there is no normalized cost."""
    if row["complexity_scales"] > 1:
        return "on two scales"
    return "no price" if row["complexity_scales"] else "complexity unknown"


def complexity(row: Row) -> str:
    """What the complexity rests on, and of how many of the calls it is known; empty where of none."""
    sources = [str(source) for source in row["complexity_sources"]]
    if not sources:
        return ""
    known = format.known(row["normalized_count"]) or 0
    share = known / row["request_count"]
    part = f", {format.percent(share)} of calls" if 0 < share < 1 else ""
    return f"{' + '.join(sources)}, n = {format.count(row['complexity_samples'])}{part}"


def untimed(row: Row) -> str:
    """Which tasks' complexity nobody knows; empty where there are none."""
    names = [str(name) for name in row["unknown_tasks"]]
    if not names:
        return ""
    return f"task {', '.join(filter(None, names))}" if any(names) else "no task_type sent"


def to_time(tasks: Iterable[object]) -> str:
    """What to do for the complexity of these tasks to be known."""
    named = any(str(task) for task in tasks)
    return "time its tasks: assay load task-times" if named else "send a task_type with each call"


def no_missed(row: Row) -> str:
    """Why it is not known what staying below the floor of the hit rate cost."""
    return "no price" if row["missed_unknown"] else "not reported"


def priced_by(row: Row) -> str:
    """Whose prices a missed discount is at."""
    sources = tuple(str(source) for source in row["missed_sources"])
    return _PRICED_BY.get(sources, "at charged and list prices")


def no_conversion_cost(row: Row) -> str:
    """Why there is no cost per conversion. Of who sends no conversions nobody knows how many there were."""
    converted = format.known(row["converted_count"])
    if converted is None:
        return "not sent"
    return "no price" if converted else "no conversions"
