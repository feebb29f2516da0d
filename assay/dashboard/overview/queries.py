"""All SQL of this page. Each function gives one set-based query over the rollups; a refresh sends them together.

Names from the viewer are bound parameters; table and column names come from the enumerations of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from assay.dashboard.overview.selection import UNNAMED, Evaluator, Selection
from assay.dashboard.store import Query
from assay.dashboard.windows import Grain, Window, segments

# Series drawn by name; the rest is "other". As many as the palette has colours that can be told apart.
TOP_SERIES = 7
TABLE_ROWS = 50
ALERT_ROWS = 20
OPTION_ROWS = 1000

_SERIES = ("tenant_id", "model", "prompt_template_version")
_MICROSECOND = 1_000_000

# An unknown figure is NULL (or NaN, from a sketch that saw no value); it sorts last either way.
_MEASURES = """
    sum(r.request_count) AS request_count,
    sum(r.error_count) AS error_count,
    sum(r.priced_count) AS priced_count,
    sum(r.unpriced_count) AS unpriced_count,
    sum(r.cost_usd) AS cost_usd,
    sum(r.cached_tokens) / nullIf(sum(r.cacheable_prompt_tokens), 0) AS cache_hit_rate,
    assay_quantile(sumMap(r.cost_histogram), 0.5) AS cost_p50_usd,
    assay_quantile(sumMap(r.latency_histogram), 0.5) AS latency_p50_ms,
    assay_quantile(sumMap(r.latency_histogram), 0.95) AS latency_p95_ms"""
_MEASURED = (
    "request_count",
    "error_count",
    "priced_count",
    "unpriced_count",
    "cost_usd",
    "cached_tokens",
    "cacheable_prompt_tokens",
    "cost_histogram",
    "latency_histogram",
)
_SCORES = """
    sum(r.evaluation_count) AS evaluation_count,
    sum(r.unknown_count) AS unknown_count,
    sum(r.weighted_score) / nullIf(sum(r.score_weight), 0) AS quality_mean"""
_SCORED = ("evaluation_count", "unknown_count", "score_weight", "weighted_score")


@dataclass(frozen=True)
class View:
    """A selection at a moment: the window it shows and the period it is drawn in."""

    selection: Selection
    window: Window

    @property
    def grain(self) -> Grain:
        return self.window.grain


def totals(view: View) -> Query:
    """One row per window with traffic: ``previous`` (0 shown, 1 the one before), the measures."""
    parameters: dict[str, object] = {}
    both = " UNION ALL ".join(
        f"SELECT {flag} AS previous, * FROM ({_rows('kpi', view, window, _MEASURED, parameters)})"
        for flag, window in ((0, view.window), (1, view.window.previous))
    )
    return Query(f"SELECT previous, {_MEASURES} FROM ({both}) AS r GROUP BY previous", parameters)


def quality_totals(view: View) -> Query:
    """One row per window and evaluator: ``previous``, ``evaluator``, ``evaluator_version``, counts, mean."""
    parameters: dict[str, object] = {}
    columns = ("evaluator", "evaluator_version", *_SCORED)
    both = " UNION ALL ".join(
        f"SELECT {flag} AS previous, * FROM ({_rows('quality', view, window, columns, parameters)})"
        for flag, window in ((0, view.window), (1, view.window.previous))
    )
    return Query(
        f"SELECT previous, evaluator, evaluator_version, {_SCORES} FROM ({both}) AS r "
        "GROUP BY previous, evaluator, evaluator_version",
        parameters,
    )


def trend(view: View) -> Query:
    """One row per period with traffic: ``period``, the measures, ``velocity_p50`` and ``velocity_p95``."""
    parameters: dict[str, object] = {}
    rows = _rows("kpi", view, view.window, ("period_start", *_MEASURED, "velocity_histogram"), parameters)
    return Query(
        f"SELECT {view.grain.start_of}(r.period_start) AS period, {_MEASURES}, "
        "assay_quantile(sumMap(r.velocity_histogram), 0.5) AS velocity_p50, "
        "assay_quantile(sumMap(r.velocity_histogram), 0.95) AS velocity_p95 "
        f"FROM ({rows}) AS r GROUP BY period ORDER BY period",
        parameters,
    )


def breakdown(view: View) -> Query:
    """One row per period and member of the grouping dimension: ``period``, ``member`` (NULL: all that are not
    among the dearest), ``cost_usd``, ``request_count``.
    """
    parameters: dict[str, object] = {}
    dimension = view.selection.group_by
    rows = _rows(
        "kpi", view, view.window, ("period_start", dimension, "cost_usd", "request_count"), parameters
    )
    return Query(
        f"WITH named AS (SELECT toString(r.{dimension}) AS name FROM ({rows}) AS r GROUP BY name "
        f"ORDER BY sum(r.cost_usd) DESC NULLS LAST, sum(r.request_count) DESC, name LIMIT {TOP_SERIES}) "
        f"SELECT {view.grain.start_of}(r.period_start) AS period, "
        f"if(toString(r.{dimension}) IN named, toNullable(toString(r.{dimension})), NULL) AS member, "
        "sum(r.cost_usd) AS cost_usd, sum(r.request_count) AS request_count "
        f"FROM ({rows}) AS r GROUP BY period, member ORDER BY period, member",
        parameters,
    )


def quality_trend(view: View) -> Query:
    """One row per period and evaluator: ``period``, ``evaluator``, ``evaluator_version``, counts, mean."""
    parameters: dict[str, object] = {}
    rows = _rows(
        "quality",
        view,
        view.window,
        ("period_start", "evaluator", "evaluator_version", *_SCORED),
        parameters,
    )
    return Query(
        f"SELECT {view.grain.start_of}(r.period_start) AS period, evaluator, evaluator_version, {_SCORES} "
        f"FROM ({rows}) AS r GROUP BY period, evaluator, evaluator_version ORDER BY period",
        parameters,
    )


def series(view: View) -> Query:
    """The table: one row per tenant, model and template, in the chosen order, at most ``TABLE_ROWS``.

    ``quality_mean`` is that of the chosen evaluator, or of the one with the most scores in the window.
    """
    parameters: dict[str, object] = {}
    keys = ", ".join(_SERIES)
    calls = _rows("kpi", view, view.window, (*_SERIES, *_MEASURED), parameters)
    scores = _rows(
        "quality", view, view.window, (*_SERIES, "evaluator", "evaluator_version", *_SCORED), parameters
    )
    whose = (
        _evaluator(view.selection.evaluator, parameters)
        if view.selection.evaluator is not None
        else "(evaluator, evaluator_version) IN (SELECT evaluator, evaluator_version "
        f"FROM ({scores}) GROUP BY evaluator, evaluator_version "
        "ORDER BY sum(evaluation_count) DESC, evaluator, evaluator_version LIMIT 1)"
    )
    order = f"{view.selection.sort} {'DESC' if view.selection.descending else 'ASC'} NULLS LAST"
    return Query(
        f"SELECT c.*, c.error_count / c.request_count AS error_rate, "
        "q.evaluation_count AS evaluation_count, q.quality_mean AS quality_mean "
        f"FROM (SELECT {keys}, {_MEASURES} FROM ({calls}) AS r GROUP BY {keys}) AS c "
        f"LEFT JOIN (SELECT {keys}, {_SCORES} FROM ({scores}) AS r WHERE {whose} GROUP BY {keys}) AS q "
        f"USING ({keys}) ORDER BY {order}, request_count DESC, {keys} LIMIT {TABLE_ROWS} "
        "SETTINGS join_use_nulls = 1",
        parameters,
    )


def options(view: View) -> Query:
    """What the filters offer: one row with the sorted names that have traffic in the window, and their number of
    series. Filters do not narrow each other's offer; the cohort does.
    """
    parameters: dict[str, object] = {}
    unfiltered = View(Selection(cohort=view.selection.cohort), view.window)
    rows = _rows("kpi", unfiltered, view.window, _SERIES, parameters)
    names = ", ".join(f"arraySort(groupUniqArray({OPTION_ROWS})({key})) AS {key}s" for key in _SERIES)
    return Query(f"SELECT {names} FROM ({rows})", parameters)


def simulated(view: View) -> Query:
    """One row if any traffic in the window came from the simulator, else none."""
    return Query(
        "SELECT 1 AS simulated FROM llm_traces WHERE source = 'simulator' "
        "AND timestamp >= fromUnixTimestamp64Micro({start:Int64}, 'UTC') "
        "AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC') LIMIT 1",
        {
            "start": int(view.window.start.timestamp()) * _MICROSECOND,
            "end": int(view.window.end.timestamp()) * _MICROSECOND,
        },
    )


def alerts(selection: Selection) -> Query:
    """Open and acknowledged alerts of the chosen tenants, pages first, newest first."""
    parameters: dict[str, object] = {}
    where = _among("tenant_id", selection.tenants, parameters)
    return Query(
        "SELECT alert_id, level, tenant_id, model, prompt_template_version, rule, summary, status, opened_at, "
        "count() OVER () AS found FROM alerts_current "
        f"WHERE status != 'resolved' AND cohort = {{cohort:String}}{where} "
        f"ORDER BY level = 'page' DESC, status = 'open' DESC, opened_at DESC LIMIT {ALERT_ROWS}",
        parameters | {"cohort": selection.cohort},
    )


def refresh(view: View) -> Mapping[str, Query]:
    """Everything that one refresh of the page asks, by name."""
    return {
        "totals": totals(view),
        "trend": trend(view),
        "breakdown": breakdown(view),
        "series": series(view),
        "quality_totals": quality_totals(view),
        "quality_trend": quality_trend(view),
        "options": options(view),
        "simulated": simulated(view),
        "alerts": alerts(view.selection),
    }


def _rows(
    kind: str, view: View, window: Window, columns: Iterable[str], parameters: dict[str, object]
) -> str:
    """Rollup rows of ``window`` that the filters keep, from as few and as coarse periods as cover it exactly.

    Adds the parameters that it names to ``parameters``.
    """
    chosen = view.selection
    where = f"cohort = {{cohort:String}}{_among('tenant_id', chosen.tenants, parameters)}"
    where += _among("model", chosen.models, parameters)
    where += _among("prompt_template_version", chosen.templates, parameters)
    parameters["cohort"] = chosen.cohort
    selects = []
    for segment in segments(window, view.grain):
        start = int(segment.window.start.timestamp())
        end = int(segment.window.end.timestamp())
        parameters |= {f"t{start}": start, f"t{end}": end}
        selects.append(
            f"SELECT {', '.join(columns)} FROM llm_{kind}_{segment.grain.suffix} "
            f"WHERE period_start >= toDateTime({{t{start}:UInt32}}, 'UTC') "
            f"AND period_start < toDateTime({{t{end}:UInt32}}, 'UTC') AND {where}"
        )
    return " UNION ALL ".join(selects)


def _among(column: str, names: tuple[str, ...], parameters: dict[str, object]) -> str:
    if not names:
        return ""
    parameters[column] = ["" if name == UNNAMED else name for name in names]
    return f" AND {column} IN {{{column}:Array(String)}}"


def _evaluator(evaluator: Evaluator, parameters: dict[str, object]) -> str:
    parameters["evaluator"] = evaluator.name
    parameters["evaluator_version"] = evaluator.version
    return "evaluator = {evaluator:String} AND evaluator_version = {evaluator_version:String}"
