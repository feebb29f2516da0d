"""All SQL of this page. Each function gives one set-based query over the rollups; a refresh sends them
together.

Names from the viewer are bound parameters; table and column names come from the enumerations of this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from assay.dashboard.overview import rollups
from assay.dashboard.overview.rollups import CALLS, SCORES, SERIES
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
_TABLE = (
    *("request_count", "error_count", "unpriced_count", "cost_usd", "cache_hit_rate"),
    *("cost_p50_usd", "latency_p95_ms", "velocity_p50"),
)
# What the series can be put in order by without reading a histogram, and what each takes besides the calls.
_SUMS_OF_SORTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((*SERIES, "request_count"), ()),
    "error_rate": ("error_count",),
    "cost_usd": ("cost_usd",),
    "cache_hit_rate": ("cache_hit_rate",),
}
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
    columns = rollups.columns(CALLS, _TOTALS)
    rows = rollups.union(
        _rows("kpi", view, view.read, ("0 AS previous", *columns), parameters),
        _rows("kpi", view, view.window.previous, ("1 AS previous", *columns), parameters),
    )
    return Query(
        f"SELECT previous, {rollups.measures(CALLS, _TOTALS)} FROM ({rows}) AS r "
        f"GROUP BY previous {_SOME_CALLS}",
        parameters,
    )


def quality_totals(view: View) -> Query:
    """One row per window and evaluator: ``previous``, ``evaluator``, ``evaluator_version``, counts, mean."""
    parameters: dict[str, object] = {}
    columns = ("evaluator", "evaluator_version", *rollups.columns(SCORES, SCORES))
    rows = rollups.union(
        _rows("quality", view, view.read, ("0 AS previous", *columns), parameters),
        _rows("quality", view, view.window.previous, ("1 AS previous", *columns), parameters),
    )
    return Query(
        f"SELECT previous, evaluator, evaluator_version, {rollups.measures(SCORES, SCORES)} "
        f"FROM ({rows}) AS r GROUP BY previous, evaluator, evaluator_version {_SOME_SCORES}",
        parameters,
    )


def trend(view: View) -> Query:
    """One row per period and member of the grouping dimension: ``period``, ``member``, the measures.

    ``member`` is NULL for all that are not among the dearest; ungrouped, it is the empty string.
    """
    parameters: dict[str, object] = {}
    member = _member(view, parameters)
    rows = _rows(
        "kpi", view, view.read, ("period_start", *member.columns, *rollups.columns(CALLS, _TREND)), parameters
    )
    return Query(
        f"{member.names}SELECT {_period(view)} AS period, {member.sql} AS member, "
        f"{rollups.measures(CALLS, _TREND)} FROM ({rows}) AS r "
        f"GROUP BY period, member {_SOME_CALLS} ORDER BY period",
        parameters,
    )


def quality_trend(view: View) -> Query:
    """One row per period, member and evaluator: ``period``, ``member`` (as in :func:`trend`), ``evaluator``,
    ``evaluator_version``, counts, mean. Grouped, it is the chosen evaluator alone, or the one with the most
    scores.
    """
    parameters: dict[str, object] = {}
    member = _member(view, parameters)
    whose = ("evaluator", "evaluator_version")
    columns = ("period_start", *whose, *member.columns, *rollups.columns(SCORES, SCORES))
    rows = _rows("quality", view, view.read, columns, parameters)
    one = f"WHERE {_evaluator(view, parameters)} " if member.columns else ""
    keys = "period, member, evaluator, evaluator_version"
    return Query(
        f"{member.names}SELECT {_period(view)} AS period, {member.sql} AS member, "
        f"evaluator, evaluator_version, {rollups.measures(SCORES, SCORES)} "
        f"FROM ({rows}) AS r {one}GROUP BY {keys} {_SOME_SCORES} ORDER BY period",
        parameters,
    )


def series(view: View) -> Query:
    """The table: one row per tenant, model and template, in the chosen order, at most ``TABLE_ROWS``;
    ``found`` says how many there are.

    ``quality_mean`` is that of the chosen evaluator, or of the one with the most scores in the window.
    """
    parameters: dict[str, object] = {}
    keys = ", ".join(SERIES)
    chosen = view.selection
    order = f"{chosen.sort} {'DESC' if chosen.descending else 'ASC'} NULLS LAST"
    first, listed = _listed(view, order, parameters)
    counted = (*SERIES, *rollups.columns(CALLS, _TABLE))
    calls = _rows("kpi", view, view.read, counted, parameters, series=listed)
    scored = (*SERIES, "evaluator", "evaluator_version", *rollups.columns(SCORES, SCORES))
    # Of all series: these rows are small, and to look for the listed ones costs more than to add them all up.
    scores = _rows("quality", view, view.read, scored, parameters)
    return Query(
        f"{first}SELECT c.*, {_ERROR_RATE} AS error_rate, "
        f"{'listed.2' if listed else 'count() OVER ()'} AS found, "
        "q.evaluation_count AS evaluation_count, q.quality_mean AS quality_mean "
        f"FROM (SELECT {keys}, {rollups.measures(CALLS, _TABLE)} FROM ({calls}) AS r "
        f"GROUP BY {keys} {_SOME_CALLS}) AS c "
        f"LEFT JOIN (SELECT {keys}, {rollups.measures(SCORES, SCORES)} FROM ({scores}) AS r "
        f"WHERE {_evaluator(view, parameters)} GROUP BY {keys} {_SOME_SCORES}) AS q "
        f"USING ({keys}) ORDER BY {order}, request_count DESC, {keys} LIMIT {TABLE_ROWS} "
        "SETTINGS join_use_nulls = 1",
        parameters,
    )


def _listed(view: View, order: str, parameters: dict[str, object]) -> tuple[str, str]:
    """The series that the table lists, where their order can be told from sums: ``WITH listed AS …``, of the
    names and of how many series there are, and the condition that a row is of these. Else two empty strings.

    Histograms are most of a rollup, and those of the series further down need not be read.
    """
    sort = view.selection.sort
    if sort not in _SUMS_OF_SORTS:
        return "", ""
    keys = ", ".join(SERIES)
    summed = ("request_count", *_SUMS_OF_SORTS[sort])
    counted = _rows("kpi", view, view.read, (*SERIES, *rollups.columns(CALLS, summed)), parameters)
    by = f", {_ERROR_RATE} AS error_rate" if sort == "error_rate" else ""
    first = (
        f"SELECT {keys}, {rollups.measures(CALLS, summed)}{by}, count() OVER () AS found "
        f"FROM ({counted}) AS r GROUP BY {keys} {_SOME_CALLS} "
        f"ORDER BY {order}, request_count DESC, {keys} LIMIT {TABLE_ROWS}"
    )
    return (
        f"WITH (SELECT (groupArray(({keys})), max(found)) FROM ({first})) AS listed ",
        f"({keys}) IN (SELECT arrayJoin(listed.1))",
    )


def options(view: View) -> Query:
    """What the filters offer: one row with the sorted names that have traffic in the window. Filters do not
    narrow each other's offer; the cohort does.
    """
    parameters: dict[str, object] = {}
    unfiltered = View(Selection(cohort=view.selection.cohort), view.window)
    names = (
        f"(SELECT arraySort(groupUniqArray({OPTION_ROWS})({key})) "
        f"FROM ({_rows('kpi', unfiltered, view.read, (key,), parameters)})) AS {key}s"
        for key in SERIES
    )
    return Query(f"SELECT {', '.join(names)}", parameters)


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


def refresh(view: View) -> Mapping[str, Query]:
    """Everything that one refresh of the page asks, by name; the slowest first, as they are sent in this
    order.
    """
    return {
        "series": series(view),
        "totals": totals(view),
        "trend": trend(view),
        "quality_totals": quality_totals(view),
        "quality_trend": quality_trend(view),
        "alerts": alerts(view.selection),
        "options": options(view),
        "simulated": simulated(view),
        "freshness": freshness(),
    }


@dataclass(frozen=True)
class _Member:
    """How rows are assigned to the members of the grouping dimension."""

    names: str
    sql: str
    columns: tuple[str, ...]


def _member(view: View, parameters: dict[str, object]) -> _Member:
    dimension = view.selection.group_by
    if dimension is None:
        return _Member("", "''", ())
    rows = _rows("kpi", view, view.read, (dimension, "cost_usd", "request_count"), parameters)
    return _Member(
        names=f"WITH named AS (SELECT r.{dimension} AS name FROM ({rows}) AS r GROUP BY name "
        f"ORDER BY sum(r.cost_usd) DESC NULLS LAST, sum(r.request_count) DESC, name LIMIT {TOP_SERIES}) ",
        sql=f"if(r.{dimension} IN named, toNullable(toString(r.{dimension})), NULL)",
        columns=(dimension,),
    )


def _period(view: View) -> str:
    seconds = int(view.window.step.total_seconds())
    # Arrow writes a DateTime as a bare number, a DateTime64 as a time.
    return f"toDateTime64(toStartOfInterval(r.period_start, INTERVAL {seconds} SECOND), 0, 'UTC')"


def _rows(
    kind: rollups.Kind,
    view: View,
    window: Window,
    columns: Iterable[str],
    parameters: dict[str, object],
    *,
    series: str = "",
) -> str:
    return rollups.rows(kind, view.selection, window, view.grain, columns, parameters, series=series)


def _evaluator(view: View, parameters: dict[str, object]) -> str:
    """The chosen evaluator, or the one with the most scores in the window."""
    chosen: Evaluator | None = view.selection.evaluator
    if chosen is not None:
        parameters |= {"evaluator": chosen.name, "evaluator_version": chosen.version}
        return "evaluator = {evaluator:String} AND evaluator_version = {evaluator_version:String}"
    rows = _rows(
        "quality", view, view.read, ("evaluator", "evaluator_version", "evaluation_count"), parameters
    )
    return (
        f"(evaluator, evaluator_version) IN (SELECT evaluator, evaluator_version FROM ({rows}) AS e "
        "GROUP BY evaluator, evaluator_version "
        "ORDER BY sum(e.evaluation_count) DESC, evaluator, evaluator_version LIMIT 1)"
    )
