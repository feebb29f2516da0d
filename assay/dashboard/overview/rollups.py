"""How this page reads the rollups: what a figure is over their rows, and which table has the rows of a view.

Names from the viewer are bound parameters; table and column names come from the enumerations of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from assay.dashboard.address import UNNAMED
from assay.dashboard.overview.selection import Selection
from assay.dashboard.windows import Grain, Window, segments

Kind = Literal["kpi", "quality"]

Series = tuple[str, str, str]
SERIES = ("tenant_id", "model", "prompt_template_version")

# Rows by one of SERIES, where those of a series are by all of them. Everything is the sum over the models: of
# the three they are fewest.
_CUBES = "llm_kpi_cubes"
_CUBE_OF_ALL = "model"


@dataclass(frozen=True)
class Measure:
    """A figure over any rollup rows: its expression and the columns that it reads. Unknown is NULL."""

    sql: str
    columns: tuple[str, ...]


def _sum(column: str) -> Measure:
    return Measure(f"sum(r.{column})", (column,))


def _percentile(histogram: str, level: Literal[50, 95]) -> Measure:
    return Measure(f"assay_sum_p{level}(r.{histogram})", (histogram,))


CALLS: Mapping[str, Measure] = {
    "request_count": _sum("request_count"),
    "error_count": _sum("error_count"),
    "unpriced_count": _sum("unpriced_count"),
    # What lost its price in a correction is unknown again, not free.
    "cost_usd": Measure("if(sum(r.priced_count) > 0, sum(r.cost_usd), NULL)", ("priced_count", "cost_usd")),
    "cache_hit_rate": Measure(
        "sum(r.cached_tokens) / nullIf(sum(r.cacheable_prompt_tokens), 0)",
        ("cached_tokens", "cacheable_prompt_tokens"),
    ),
    "cost_p50_usd": _percentile("cost_histogram", 50),
    "latency_p50_ms": _percentile("latency_histogram", 50),
    "latency_p95_ms": _percentile("latency_histogram", 95),
    "velocity_p50": _percentile("velocity_histogram", 50),
    "velocity_p95": _percentile("velocity_histogram", 95),
}
SCORES: Mapping[str, Measure] = {
    "evaluation_count": _sum("evaluation_count"),
    "unknown_count": _sum("unknown_count"),
    "quality_mean": Measure(
        "if(sum(r.evaluation_count) > 0, sum(r.weighted_score) / sum(r.score_weight), NULL)",
        ("weighted_score", "score_weight"),
    ),
}


def measures(among: Mapping[str, Measure], names: Iterable[str]) -> str:
    """The figures of that name, as the columns of a SELECT over rows ``r``."""
    return ", ".join(f"{among[name].sql} AS {name}" for name in names)


def columns(among: Mapping[str, Measure], names: Iterable[str]) -> tuple[str, ...]:
    """The columns that these figures read."""
    return tuple(dict.fromkeys(column for name in names for column in among[name].columns))


def source(
    kind: Kind,
    selection: Selection,
    windows: Iterable[Window],
    grain: Grain,
    columns: Iterable[str],
    parameters: dict[str, object],
    *,
    only: str = "",
) -> str:
    """What follows FROM, with its conditions: rollup rows ``r`` of ``windows`` that the filters keep, from as
    few and as coarse periods as cover them exactly, and from the cube that has them where one has.

    It is one table wherever one has all of it: most of a short query's time goes into the statement, and a
    second SELECT costs as much as the first.

    Args:
        kind: calls or scores.
        selection: its filters count.
        windows: to read; their ends are whole minutes, and they do not overlap.
        grain: the coarsest to read.
        columns: of the rollup that are asked for.
        parameters: those that the conditions name are added.
        only: one more condition, where not all of these rows are wanted.
    """
    wanted = tuple(dict.fromkeys(columns))
    periods = _periods(windows, grain, parameters)
    kept = tuple(filter(None, (filters(selection, parameters), only)))
    cube = _cube(selection, wanted) if kind == "kpi" else None
    if cube is not None:
        return _of_cubes(periods, (f"r.dimension = '{cube}'", *kept))
    tables = [
        f"llm_{kind}_{part.suffix} AS r WHERE {' AND '.join((within, *kept))}"
        for part, within in periods.items()
    ]
    if len(tables) == 1:
        return tables[0]
    selects = (f"SELECT {', '.join(wanted)} FROM {table}" for table in tables)
    return f"({' UNION ALL '.join(selects)}) AS r"


def cubes(
    selection: Selection, windows: Iterable[Window], grain: Grain, parameters: dict[str, object]
) -> str:
    """As :func:`source`, the rows by each of SERIES alone; ``dimension`` says by which, and the other two are
    empty.
    """
    return _of_cubes(_periods(windows, grain, parameters), (filters(selection, parameters),))


def _of_cubes(periods: Mapping[Grain, str], conditions: Iterable[str]) -> str:
    of_grains = " OR ".join(f"(r.grain = '{grain.suffix}' AND {within})" for grain, within in periods.items())
    return f"{_CUBES} AS r WHERE {' AND '.join((f'({of_grains})', *conditions))}"


def _periods(windows: Iterable[Window], grain: Grain, parameters: dict[str, object]) -> dict[Grain, str]:
    """The condition on the periods of each grain that are to be read."""
    intervals: dict[Grain, list[Window]] = {}
    for part in sorted(
        (s for window in windows for s in segments(window, grain)), key=lambda s: s.window.start
    ):
        before = intervals.setdefault(part.grain, [])
        if before and before[-1].end == part.window.start:
            before[-1] = Window(before[-1].start, part.window.end)
        else:
            before.append(part.window)
    return {part: _within(found, parameters) for part, found in intervals.items()}


def _within(intervals: Iterable[Window], parameters: dict[str, object]) -> str:
    """The condition that a period lies in one of ``intervals``."""
    either = [
        f"r.period_start >= {moment(interval.start, parameters)} "
        f"AND r.period_start < {moment(interval.end, parameters)}"
        for interval in intervals
    ]
    return either[0] if len(either) == 1 else f"({' OR '.join(f'({one})' for one in either)})"


def moment(time: datetime, parameters: dict[str, object]) -> str:
    """``time`` as the periods of rollups have it; its parameter is added."""
    seconds = int(time.timestamp())
    parameters[f"t{seconds}"] = seconds
    return f"toDateTime({{t{seconds}:UInt32}}, 'UTC')"


def _cube(selection: Selection, columns: tuple[str, ...]) -> str | None:
    """The dimension whose cube has what is asked for; None: only the series have."""
    chosen_by = (selection.tenants, selection.models, selection.templates)
    needed = {name for name, chosen in zip(SERIES, chosen_by, strict=True) if chosen or name in columns}
    if len(needed) > 1:
        return None
    return needed.pop() if needed else _CUBE_OF_ALL


def filters(selection: Selection, parameters: dict[str, object]) -> str:
    """The condition that the filters of ``selection`` make; the parameters that it names are added."""
    parameters["cohort"] = selection.cohort
    conditions = (
        "cohort = {cohort:String}",
        among("tenant_id", selection.tenants, parameters),
        among("model", selection.models, parameters),
        among("prompt_template_version", selection.templates, parameters),
    )
    return " AND ".join(filter(None, conditions))


def among(column: str, names: tuple[str, ...], parameters: dict[str, object]) -> str:
    """The condition that ``column`` is one of ``names``; nothing where there are none."""
    if not names:
        return ""
    parameters[column] = ["" if name == UNNAMED else name for name in names]
    return f"{column} IN {{{column}:Array(String)}}"
