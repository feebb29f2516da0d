"""All SQL of this page, over one mart that is built every hour. A figure of ``efficiency_daily`` has a value
in rows of one kind alone, so a sum over any rows is a sum over those of its kind.

Names from the viewer are bound parameters; column names come from the enumerations of this package.
"""

from __future__ import annotations

from collections.abc import Mapping

from assay.dashboard.efficiency.selection import Days, Selection, Template
from assay.dashboard.overview.rollups import among
from assay.dashboard.store import Query

MART = "efficiency_daily"
TABLE_ROWS = 50
OPTION_ROWS = 1000

# Cost per unit of work adds up on one scale of complexity alone.
_SCALES = "uniqExactIf(r.complexity_scale, isNotNull(r.task_complexity))"
# The figures over any rows, in an order in which each may name those before it. Unknown is NULL. Of outcomes
# count the tenants that have sent any of the kind in the range: of the others nobody knows.
_MEASURES: Mapping[str, str] = {
    "request_count": "sum(r.request_count)",
    "unpriced_count": "sum(r.request_count) - sum(r.priced_count)",
    "cost_usd": "sum(r.cost_usd)",
    "complexity_scales": _SCALES,
    "complexity_sources": "arraySort(groupUniqArrayIf(r.complexity_source, isNotNull(r.task_complexity)))",
    # A task type's sample is the same on each of its days.
    "complexity_samples": (
        "arraySum(mapValues(maxMap(map(toString(r.task_type), "
        "if(isNull(r.task_complexity), 0, ifNull(r.complexity_samples, 0))))))"
    ),
    "normalized_count": "sumIf(r.priced_count, isNotNull(r.normalized_cost_usd))",
    "normalized_cost_usd": f"if({_SCALES} = 1, sum(r.normalized_cost_usd), NULL)",
    "normalized_per_call_usd": "normalized_cost_usd / nullIf(normalized_count, 0)",
    "unknown_tasks": (
        "arraySort(groupUniqArrayIf(5)(toString(r.task_type), r.kind = 'cost' AND isNull(r.task_complexity)))"
    ),
    "completion_ratio": "sum(r.completion_tokens) / nullIf(sum(r.prompt_tokens), 0)",
    "spike_days": "sum(r.is_verbosity_spike)",
    "drop_days": "sum(r.is_truncation_drop)",
    "flagged_days": "spike_days + drop_days",
    "cache_hit_rate": "sum(r.cached_tokens) / nullIf(sum(r.cacheable_prompt_tokens), 0)",
    "missed_discount_usd": "sum(r.missed_discount_usd)",
    "missed_unknown": "countIf(r.cacheable_prompt_tokens > 0 AND isNull(r.missed_discount_usd))",
    "missed_sources": "arraySort(groupUniqArrayIf(r.missed_discount_source, r.missed_discount_source != ''))",
    "converted_count": "sumIf(r.converted_count, {sends_conversions})",
    "cost_per_conversion_usd": ("sumIf(r.trace_cost_usd, {sends_conversions}) / nullIf(converted_count, 0)"),
    "escalated_count": "sumIf(r.escalated_count, {sends_escalations})",
    "escalation_rate": "escalated_count / nullIf(sumIf(r.trace_count, {sends_escalations}), 0)",
}
_OF_TENANTS: Mapping[str, str] = {
    "session_count": "sum(r.session_count)",
    "cost_per_session_usd": (
        "sum(r.cost_per_session_usd * r.priced_session_count) / nullIf(sum(r.priced_session_count), 0)"
    ),
}
_BY_DAY = (
    "complexity_scales",
    "normalized_count",
    "normalized_cost_usd",
    "normalized_per_call_usd",
    "unknown_tasks",
    "cache_hit_rate",
)
# Which filters do not apply: what a template's answers are like is told of all models, a session has many.
_OF_ALL_MODELS = "r.kind IN ('completion', 'sessions')"
_OF_ALL_TEMPLATES = "r.kind = 'sessions'"


def templates(selection: Selection, days: Days) -> Query:
    """One row per tenant and template with the measures, in the order asked for, at most ``TABLE_ROWS``;
    ``found`` says how many there are.
    """
    parameters: dict[str, object] = {}
    keys = "tenant_id, prompt_template_version"
    order = f"{selection.sort} {'DESC' if selection.descending else 'ASC'} NULLS LAST"
    rows = _rows(selection, days, parameters)
    return Query(
        f"SELECT {keys}, {_columns(_MEASURES)}, count() OVER () AS found FROM {rows} "
        # Of a session nobody knows the template.
        f"AND r.kind != 'sessions' GROUP BY {keys} HAVING request_count > 0 "
        f"ORDER BY {order}, cost_usd DESC NULLS LAST, {keys} LIMIT {TABLE_ROWS}",
        parameters,
    )


def totals(selection: Selection, days: Days) -> Query:
    """One row: the measures over all that is in view, and those of sessions."""
    parameters: dict[str, object] = {}
    return Query(
        f"SELECT {_columns({**_MEASURES, **_OF_TENANTS})} FROM {_rows(selection, days, parameters)}",
        parameters,
    )


def by_day(selection: Selection, days: Days, of: Template) -> Query:
    """One row per day of a template: ``period``, what its answers were like beside its own median, cost per
    unit of work, cache hit rate. The filter by model counts where there is a model.
    """
    parameters: dict[str, object] = {"of_tenant": of.tenant_id, "of_template": of.version}
    only = Selection(models=selection.models, range=selection.range)
    # One row of a day has them.
    single = ("completion_ratio", "trailing_median", "is_verbosity_spike", "is_truncation_drop")
    found = ", ".join(f"max(r.{name}) AS day_{name}" for name in (*single, "length_finish_share"))
    measures = _columns({name: _MEASURES[name] for name in _BY_DAY})
    return Query(
        f"SELECT toDateTime64(r.day, 0, 'UTC') AS period, {found}, {measures} "
        f"FROM {_rows(only, days, parameters)} "
        "AND r.tenant_id = {of_tenant:String} AND r.prompt_template_version = {of_template:String} "
        "AND r.kind != 'sessions' GROUP BY r.day ORDER BY r.day",
        parameters,
    )


def options(days: Days) -> Query:
    """What the filters offer: one row with the sorted names that have traffic in the range."""
    parameters: dict[str, object] = {}
    names = ", ".join(
        f"arraySort(groupUniqArray({OPTION_ROWS})(toString(r.{dimension}))) AS {field}"
        for field, dimension in (
            ("tenants", "tenant_id"),
            ("models", "model"),
            ("templates", "prompt_template_version"),
        )
    )
    return Query(
        f"SELECT {names} FROM {_rows(Selection(), days, parameters)} AND r.kind = 'cost'", parameters
    )


def simulated(selection: Selection, days: Days) -> Query:
    """One row if any call in view came from the simulator, else none. The set index on ``source`` answers
    without reading rows where there is none.
    """
    parameters: dict[str, object] = {"first": days.first, "last": days.last}
    conditions = (
        "source = 'simulator' AND timestamp >= toDateTime64({first:Date}, 6, 'UTC')",
        "timestamp < toDateTime64({last:Date} + 1, 6, 'UTC')",
        among("tenant_id", selection.tenants, parameters),
        among("model", selection.models, parameters),
        among("prompt_template_version", selection.templates, parameters),
    )
    return Query(
        f"SELECT 1 AS simulated FROM llm_traces WHERE {' AND '.join(filter(None, conditions))} LIMIT 1",
        parameters,
    )


def built() -> Query:
    """One row: when the mart was built; NULL where it is empty."""
    return Query(f"SELECT if(count() = 0, NULL, toDateTime64(max(built_at), 0, 'UTC')) AS built FROM {MART}")


def first(selection: Selection, days: Days) -> Mapping[str, Query]:
    """What a refresh asks before it knows which template to draw, by name."""
    return {
        "templates": templates(selection, days),
        "totals": totals(selection, days),
        "options": options(days),
        "simulated": simulated(selection, days),
        "built": built(),
    }


def _rows(selection: Selection, days: Days, parameters: dict[str, object]) -> str:
    """What follows FROM: rows ``r`` of the days that the filters keep; their parameters are added."""
    parameters |= {"first": days.first, "last": days.last}
    by_model = among("model", selection.models, parameters)
    by_template = among("prompt_template_version", selection.templates, parameters)
    conditions = (
        _within("r"),
        among("tenant_id", selection.tenants, parameters),
        by_model and f"({by_model} OR {_OF_ALL_MODELS})",
        by_template and f"({by_template} OR {_OF_ALL_TEMPLATES})",
    )
    return f"{MART} AS r WHERE {' AND '.join(filter(None, conditions))}"


def _within(rows: str) -> str:
    return f"{rows}.day BETWEEN {{first:Date}} AND {{last:Date}}"


def _columns(measures: Mapping[str, str]) -> str:
    sends = {
        f"sends_{events}": f"r.tenant_id IN (SELECT o.tenant_id FROM {MART} AS o "
        f"WHERE {_within('o')} AND o.{column} > 0)"
        for events, column in (("conversions", "converted_count"), ("escalations", "escalated_count"))
    }
    return ", ".join(f"{sql.format_map(sends)} AS {name}" for name, sql in measures.items())
