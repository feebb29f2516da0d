"""How this page reads the rollups: what a figure is over their rows, and which table has the rows of a view.

Names from the viewer are bound parameters; table and column names come from the enumerations of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from assay.dashboard.overview.selection import UNNAMED, Selection
from assay.dashboard.windows import Grain, Segment, Window, segments

Kind = Literal["kpi", "quality"]

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


def _quantile(histogram: str, level: float) -> Measure:
    return Measure(f"assay_quantile(sumMap(r.{histogram}), {level})", (histogram,))


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
    "cost_p50_usd": _quantile("cost_histogram", 0.5),
    "latency_p50_ms": _quantile("latency_histogram", 0.5),
    "latency_p95_ms": _quantile("latency_histogram", 0.95),
    "velocity_p50": _quantile("velocity_histogram", 0.5),
    "velocity_p95": _quantile("velocity_histogram", 0.95),
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


def union(*selects: str) -> str:
    """The rows of all ``selects``."""
    return " UNION ALL ".join(selects)


def rows(
    kind: Kind,
    selection: Selection,
    window: Window,
    grain: Grain,
    columns: Iterable[str],
    parameters: dict[str, object],
    *,
    series: str = "",
) -> str:
    """Rollup rows of ``window`` that the filters keep, from as few and as coarse periods as cover it exactly,
    and from the cube that has them where one has.

    Args:
        kind: calls or scores.
        selection: its filters count.
        window: to read; its ends are whole minutes.
        grain: the coarsest to read.
        columns: of the rollup.
        parameters: those that the rows name are added.
        series: a condition on SERIES, where not all are wanted.
    """
    wanted = tuple(columns)
    filtered = filters(selection, parameters)
    cube = None if series or kind != "kpi" else _cube(selection, wanted)
    selects = []
    for segment in segments(window, grain):
        start, end = int(segment.window.start.timestamp()), int(segment.window.end.timestamp())
        parameters |= {f"t{start}": start, f"t{end}": end}
        conditions = (
            f"period_start >= toDateTime({{t{start}:UInt32}}, 'UTC')",
            f"period_start < toDateTime({{t{end}:UInt32}}, 'UTC')",
            filtered,
            series,
        )
        selects.append(
            f"SELECT {', '.join(wanted)} FROM {_table(kind, segment, cube)}"
            f"{' AND '.join(filter(None, conditions))}"
        )
    return union(*selects)


def _cube(selection: Selection, columns: tuple[str, ...]) -> str | None:
    """The dimension whose cube has what is asked for; None: only the series have."""
    chosen_by = (selection.tenants, selection.models, selection.templates)
    needed = {name for name, chosen in zip(SERIES, chosen_by, strict=True) if chosen or name in columns}
    if len(needed) > 1:
        return None
    return needed.pop() if needed else _CUBE_OF_ALL


def _table(kind: Kind, segment: Segment, cube: str | None) -> str:
    suffix = segment.grain.suffix
    if cube is None:
        return f"llm_{kind}_{suffix} WHERE "
    return f"{_CUBES} WHERE grain = '{suffix}' AND dimension = '{cube}' AND "


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
