"""All SQL of this page. Each function gives one set-based query over the rollups. A refresh sends them in two
rounds: what names are to be shown, then the figures of these. Such queries are short, and the time of a short
query goes into its statement: a subquery that finds the names costs as much as a query that asks for them.

Names from the viewer are bound parameters; table and column names come from the enumerations of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from assay.dashboard.address import Dimension
from assay.dashboard.overview import rollups
from assay.dashboard.overview.rollups import CALLS, SCORES, SERIES, Series
from assay.dashboard.overview.selection import Evaluator, Selection
from assay.dashboard.store import Query
from assay.dashboard.windows import Grain, Window

# Series drawn by name; the rest is "other". As many as the palette has colours that can be told apart.
TOP_SERIES = 7
TABLE_ROWS = 50
ALERT_ROWS = 20
OPTION_ROWS = 1000

_MICROSECOND = 1_000_000

_TOTALS = (
    *("request_count", "error_count", "unpriced_count", "cost_usd", "cache_hit_rate"),
    *("cost_p50_usd", "latency_p50_ms", "latency_p95_ms", "velocity_p50"),
)
_TREND = (
    *("request_count", "error_count", "cost_usd", "cache_hit_rate"),
    *("latency_p50_ms", "latency_p95_ms", "velocity_p50", "velocity_p95"),
)
_TABLE_SUMS = ("request_count", "error_count", "unpriced_count", "cost_usd", "cache_hit_rate")
_TABLE_PERCENTILES = ("cost_p50_usd", "latency_p95_ms", "velocity_p50")
_ERROR_RATE = "error_count / request_count"
# What corrections took away whole leaves rows of zeros behind: no traffic, no scores.
_SOME_CALLS = "HAVING request_count > 0"
_SOME_SCORES = "HAVING evaluation_count + unknown_count > 0"


@dataclass(frozen=True)
class View:
    """A selection at a moment: the window it shows and the period it is drawn in."""

    selection: Selection
    window: Window

    @property
    def grain(self) -> Grain:
        return self.window.grain

    @property
    def read(self) -> Window:
        """The interval to read: of a live view the running period whole, as nothing lies after now."""
        if self.selection.live:
            return Window(self.window.start, self.grain.ceil(self.window.end))
        return self.window


def totals(view: View) -> Query:
    """One row per window with traffic: ``previous`` (0 shown, 1 the one before), the measures."""
    parameters: dict[str, object] = {}
    columns = ("period_start", *rollups.columns(CALLS, _TOTALS))
    rows = _rows("kpi", view, columns, parameters, compared=True)
    return Query(
        f"SELECT {_previous(view, parameters)}, {rollups.measures(CALLS, _TOTALS)} FROM {rows} "
        f"GROUP BY previous {_SOME_CALLS}",
        parameters,
    )


def quality_totals(view: View) -> Query:
    """One row per window and evaluator: ``previous``, ``evaluator``, ``evaluator_version``, counts, mean."""
    parameters: dict[str, object] = {}
    columns = ("period_start", "evaluator", "evaluator_version", *rollups.columns(SCORES, SCORES))
    rows = _rows("quality", view, columns, parameters, compared=True)
    return Query(
        f"SELECT {_previous(view, parameters)}, evaluator, evaluator_version, "
        f"{rollups.measures(SCORES, SCORES)} FROM {rows} "
        f"GROUP BY previous, evaluator, evaluator_version {_SOME_SCORES}",
        parameters,
    )


def members(view: View, dimension: Dimension) -> Query:
    """The members of the grouping dimension that are drawn by name, the dearest first: ``name``."""
    parameters: dict[str, object] = {}
    rows = _rows("kpi", view, (dimension, "cost_usd", "request_count"), parameters)
    return Query(
        f"SELECT r.{dimension} AS name FROM {rows} GROUP BY name "
        f"ORDER BY sum(r.cost_usd) DESC NULLS LAST, sum(r.request_count) DESC, name LIMIT {TOP_SERIES}",
        parameters,
    )


def trend(view: View, named: Sequence[str]) -> Query:
    """One row per period and member of the grouping dimension: ``period``, ``member``, the measures.

    ``member`` is NULL for all that are not ``named``; ungrouped, it is the empty string.
    """
    parameters: dict[str, object] = {}
    member, columns = _member(view, named, parameters)
    rows = _rows("kpi", view, ("period_start", *columns, *rollups.columns(CALLS, _TREND)), parameters)
    return Query(
        f"SELECT {_period(view)} AS period, {member} AS member, {rollups.measures(CALLS, _TREND)} "
        f"FROM {rows} GROUP BY period, member {_SOME_CALLS} ORDER BY period",
        parameters,
    )


def quality_trend(view: View, named: Sequence[str], evaluator: Evaluator | None) -> Query:
    """One row per period, member and evaluator: ``period``, ``member`` (as in :func:`trend`), ``evaluator``,
    ``evaluator_version``, counts, mean. Grouped, it is ``evaluator`` alone.
    """
    parameters: dict[str, object] = {}
    member, columns = _member(view, named, parameters)
    whose = ("evaluator", "evaluator_version")
    columns = ("period_start", *whose, *columns, *rollups.columns(SCORES, SCORES))
    only = "" if view.selection.group_by is None else _by(evaluator, parameters)
    rows = _rows("quality", view, columns, parameters, only=only)
    return Query(
        f"SELECT {_period(view)} AS period, {member} AS member, evaluator, evaluator_version, "
        f"{rollups.measures(SCORES, SCORES)} FROM {rows} "
        f"GROUP BY period, member, evaluator, evaluator_version {_SOME_SCORES} ORDER BY period",
        parameters,
    )


def series(view: View) -> Query:
    """The rows of the table: tenant, model and template, the sums, and what they are in order of, at most
    ``TABLE_ROWS``; ``found`` says how many there are.

    Histograms are most of a rollup. Those of the series further down are read for an order by them alone.
    """
    parameters: dict[str, object] = {}
    keys = ", ".join(SERIES)
    chosen = view.selection
    order = f"{chosen.sort} {'DESC' if chosen.descending else 'ASC'} NULLS LAST, request_count DESC, {keys}"
    names = (*_TABLE_SUMS, *(name for name in _TABLE_PERCENTILES if name == chosen.sort))
    calls = _rows("kpi", view, (*SERIES, *rollups.columns(CALLS, names)), parameters)
    found = (
        f"SELECT {keys}, {rollups.measures(CALLS, names)}, {_ERROR_RATE} AS error_rate, "
        f"count() OVER () AS found FROM {calls} GROUP BY {keys} {_SOME_CALLS}"
    )
    if chosen.sort == "quality_mean":
        columns = (*SERIES, "evaluator", "evaluator_version", *rollups.columns(SCORES, SCORES))
        scores = _rows("quality", view, columns, parameters, only=_most_used(view, parameters))
        found = (
            f"SELECT c.* FROM ({found}) AS c LEFT JOIN (SELECT {keys}, {rollups.measures(SCORES, SCORES)} "
            f"FROM {scores} GROUP BY {keys} {_SOME_SCORES}) AS q USING ({keys})"
        )
        order = order.replace("quality_mean", "q.quality_mean")
    return Query(f"{found} ORDER BY {order} LIMIT {TABLE_ROWS} SETTINGS join_use_nulls = 1", parameters)


def series_percentiles(view: View, listed: Sequence[Series]) -> Query:
    """The percentiles of the ``listed`` series: one row for each."""
    parameters: dict[str, object] = {}
    keys = ", ".join(SERIES)
    columns = (*SERIES, *rollups.columns(CALLS, _TABLE_PERCENTILES))
    rows = _rows("kpi", view, columns, parameters, only=_among(listed, parameters))
    return Query(
        f"SELECT {keys}, {rollups.measures(CALLS, _TABLE_PERCENTILES)} FROM {rows} GROUP BY {keys}",
        parameters,
    )


def series_quality(view: View, listed: Sequence[Series], evaluator: Evaluator | None) -> Query:
    """What ``evaluator`` gave the ``listed`` series: one row for each that it judged."""
    parameters: dict[str, object] = {}
    keys = ", ".join(SERIES)
    columns = (*SERIES, *rollups.columns(SCORES, SCORES))
    only = f"{_among(listed, parameters)} AND {_by(evaluator, parameters)}"
    rows = _rows("quality", view, columns, parameters, only=only)
    return Query(
        f"SELECT {keys}, {rollups.measures(SCORES, SCORES)} FROM {rows} GROUP BY {keys} {_SOME_SCORES}",
        parameters,
    )


def options(view: View) -> Query:
    """What the filters offer: one row per ``dimension`` with the sorted ``names`` that have traffic in the
    window. Filters do not narrow each other's offer; the cohort does.
    """
    parameters: dict[str, object] = {}
    unfiltered = View(Selection(cohort=view.selection.cohort), view.window)
    rows = rollups.cubes(unfiltered.selection, [view.read], view.grain, parameters)
    # A row of a cube has one of the names.
    return Query(
        f"SELECT dimension, arraySort(groupUniqArray({OPTION_ROWS})(concat({', '.join(SERIES)}))) AS names "
        f"FROM {rows} GROUP BY dimension",
        parameters,
    )


def simulated(view: View) -> Query:
    """One row if any traffic in view came from the simulator, else none. The set index on ``source`` answers
    without reading rows where there is none.
    """
    parameters: dict[str, object] = {
        "start": int(view.window.start.timestamp()) * _MICROSECOND,
        "end": int(view.window.end.timestamp()) * _MICROSECOND,
    }
    return Query(
        "SELECT 1 AS simulated FROM llm_traces WHERE source = 'simulator' "
        "AND timestamp >= fromUnixTimestamp64Micro({start:Int64}, 'UTC') "
        "AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC') "
        f"AND {rollups.filters(view.selection, parameters)} LIMIT 1",
        parameters,
    )


def freshness() -> Query:
    """One row: ``oldest`` and ``newest``, the times of the first and the latest call in the store, NULL
    where there is none. Answered from the bounds of the stored parts, without reading rows.
    """
    return Query(
        "SELECT if(count() = 0, NULL, min(timestamp)) AS oldest, "
        "if(count() = 0, NULL, max(timestamp)) AS newest FROM llm_traces"
    )


def alerts(selection: Selection) -> Query:
    """Open and acknowledged alerts of the cohort: those of the chosen tenants, then pages, then the newest.
    Other tenants' are listed as well: a filter must not hide a page.
    """
    parameters: dict[str, object] = {"cohort": selection.cohort}
    chosen = (
        f"{rollups.among('tenant_id', selection.tenants, parameters)} DESC, " if selection.tenants else ""
    )
    return Query(
        "SELECT alert_id, level, tenant_id, model, prompt_template_version, summary, status, opened_at, "
        "acknowledged_by, count() OVER () AS found, countIf(level = 'page') OVER () AS pages "
        "FROM alerts_current WHERE status != 'resolved' AND cohort = {cohort:String} "
        f"ORDER BY {chosen}level = 'page' DESC, status = 'open' DESC, opened_at DESC, alert_id "
        f"LIMIT {ALERT_ROWS}",
        parameters,
    )


def first(view: View) -> Mapping[str, Query]:
    """What a refresh asks at first, by name; the slowest first, as they are sent in this order."""
    dimension = view.selection.group_by
    return {
        "series": series(view),
        "totals": totals(view),
        "quality_totals": quality_totals(view),
        **({} if dimension is None else {"members": members(view, dimension)}),
        "alerts": alerts(view.selection),
        "options": options(view),
        "simulated": simulated(view),
        "freshness": freshness(),
    }


def second(
    view: View, named: Sequence[str], listed: Sequence[Series], evaluator: Evaluator | None
) -> Mapping[str, Query]:
    """What it asks once it knows whose figures to show, by name.

    Args:
        view: what is looked at.
        named: the members that are drawn by name.
        listed: the series in the table.
        evaluator: whose scores; ``None`` where nothing was judged.
    """
    return {
        "trend": trend(view, named),
        "series_percentiles": series_percentiles(view, listed),
        "quality_trend": quality_trend(view, named, evaluator),
        "series_quality": series_quality(view, listed, evaluator),
    }


def _member(view: View, named: Sequence[str], parameters: dict[str, object]) -> tuple[str, tuple[str, ...]]:
    """How rows are assigned to the members of the grouping dimension, and the columns which that reads."""
    dimension = view.selection.group_by
    if dimension is None:
        return "''", ()
    parameters["named"] = list(named)
    name = f"toNullable(toString(r.{dimension}))"
    return f"if(r.{dimension} IN {{named:Array(String)}}, {name}, NULL)", (dimension,)


def _previous(view: View, parameters: dict[str, object]) -> str:
    """Whether a period precedes the window that is shown."""
    return f"r.period_start < {rollups.moment(view.window.start, parameters)} AS previous"


def _period(view: View) -> str:
    seconds = int(view.window.step.total_seconds())
    # Arrow writes a DateTime as a bare number, a DateTime64 as a time.
    return f"toDateTime64(toStartOfInterval(r.period_start, INTERVAL {seconds} SECOND), 0, 'UTC')"


def _rows(
    kind: rollups.Kind,
    view: View,
    columns: Iterable[str],
    parameters: dict[str, object],
    *,
    compared: bool = False,
    only: str = "",
) -> str:
    """Rows of the window; ``compared``: of the one before it as well."""
    windows = [view.window.previous, view.read] if compared else [view.read]
    return rollups.source(kind, view.selection, windows, view.grain, columns, parameters, only=only)


def _among(listed: Sequence[Series], parameters: dict[str, object]) -> str:
    """The condition that a row is of one of the ``listed`` series."""
    parameters["listed"] = list(listed)
    return f"({', '.join(SERIES)}) IN {{listed:Array(Tuple(String, String, String))}}"


def _by(evaluator: Evaluator | None, parameters: dict[str, object]) -> str:
    """The condition that a score is of ``evaluator``; of none, that it is nobody's."""
    if evaluator is None:
        return "evaluator = ''"
    parameters |= {"evaluator": evaluator.name, "evaluator_version": evaluator.version}
    return "evaluator = {evaluator:String} AND evaluator_version = {evaluator_version:String}"


def _most_used(view: View, parameters: dict[str, object]) -> str:
    """The condition that a score is of the chosen evaluator, or of the one with the most scores."""
    if view.selection.evaluator is not None:
        return _by(view.selection.evaluator, parameters)
    rows = _rows("quality", view, ("evaluator", "evaluator_version", "evaluation_count"), parameters)
    return (
        f"(evaluator, evaluator_version) IN (SELECT evaluator, evaluator_version FROM {rows} "
        "GROUP BY evaluator, evaluator_version "
        "ORDER BY sum(r.evaluation_count) DESC, evaluator, evaluator_version LIMIT 1)"
    )
