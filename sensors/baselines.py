"""Exponentially weighted baselines of cost per call and of quality, frozen at the start of each UTC day.

For every series of every scope, from the hourly rollups of production traffic::

    m_h, n_h   median of hour h, and how many priced calls (scores) it rests on
    w_h        n_h · 2^(−age_h / half-life), age from the end of the hour to the start of the day
    median     weighted median of m_h
    std        weighted interquartile range of m_h / 1.349: how far hours differ from one another
    spread     weighted median over hours of the standard deviation of single calls within the hour

The hours' medians are weighted, by calls and decay, rather than the calls of all hours pooled: how far hours
differ from one another is what z is measured in, and an hour of trouble that was not recognised as an
incident moves neither the level nor the spread by much.

Hours of a page are left out (:class:`sensors.policy.Baseline`): a baseline that swallows an incident stops
seeing it.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from clickhouse_connect.driver.client import Client

from sensors.policy import Policy

# The levels at which a past is kept. `family` is the template without its version: the past that a new
# version has.
SCOPES = ("tenant", "model", "template", "family", "series")

# "rag-v3.2" and "rag-v3.3" are versions of "rag".
_VERSION = r"[-_@:/. ]*[vV]?[0-9]+([._-][0-9]+)*$"
# Interquartile range and 95th percentile of a standard normal distribution.
_IQR = 1.349
_P95 = 1.645
# Weights of the exact quantiles are whole numbers: the oldest call still gets hundreds of units.
_WEIGHT_UNITS = 10_000


def template_family(column: str) -> str:
    """SQL: the template without its version; itself where nothing would be left."""
    stripped = f"replaceRegexpOne(toString({column}), '{_VERSION}', '')"
    return f"if({stripped} = '', toString({column}), {stripped})"


def refresh(client: Client, first: date, last: date, policy: Policy) -> dict[date, int]:
    """Compute and store the baselines as of every day from ``first`` to ``last``, both included.

    One statement for the whole range. Repeating it replaces what it stored before.

    Returns:
        How many baselines each day has; 0 where no past was found.

    Raises:
        ValueError: ``last`` lies before ``first``.
    """
    if last < first:
        raise ValueError(f"`last` = {last} must not be before `first` = {first}")
    computed_at = datetime.now(UTC)
    parameters: dict[str, object] = {
        "first": first,
        "last": last,
        "half_life": policy.baseline.half_life_days,
        "lookback": policy.baseline.lookback_days,
        "lead": policy.baseline.exclude_lead_minutes,
        "exclude": int(policy.baseline.exclude_incidents),
        "computed_at": int(computed_at.timestamp()) * 1_000_000 + computed_at.microsecond,
    }
    client.command(_STATEMENT, parameters=parameters)
    rows = client.query(
        "SELECT as_of, count() FROM kpi_baselines WHERE as_of BETWEEN {first:Date} AND {last:Date} "
        "AND computed_at = fromUnixTimestamp64Micro({computed_at:Int64}, 'UTC') GROUP BY as_of",
        parameters=parameters,
    ).result_rows
    days = {first + timedelta(days=n): 0 for n in range((last - first).days + 1)}
    return days | {day: int(count) for day, count in rows}


def _hourly(
    measure: str, table: str, count: str, histogram: str, quantiles: str, spread: str, evaluator: bool
) -> str:
    """Median, spread and size of every hour of every series of every scope."""
    whose = "evaluator, evaluator_version" if evaluator else "'' AS evaluator, '' AS evaluator_version"
    keys = "scope, tenant_id, model_key, template_key, evaluator, evaluator_version, period_start"
    return f"""
    SELECT
        '{measure}' AS measure, scope, tenant_id,
        if(scope IN ('model', 'series'), toString(model), '') AS model_key,
        multiIf(
            scope IN ('template', 'series'), toString(prompt_template_version),
            scope = 'family', {template_family("prompt_template_version")},
            ''
        ) AS template_key,
        {whose}, period_start,
        sum({count}) AS n,
        {histogram} AS histogram,
        arrayMap(x -> toFloat64(assumeNotNull(x)), {quantiles}) AS q,
        q[2] AS median,
        {spread} AS spread
    FROM {table}
    ARRAY JOIN {list(SCOPES)} AS scope
    WHERE cohort = 'production'
        AND period_start >= toDateTime({{first:Date}}, 'UTC') - toIntervalDay({{lookback:UInt32}})
        AND period_start < toDateTime({{last:Date}}, 'UTC')
        AND (tenant_id, period_start) NOT IN excluded
    GROUP BY {keys}
    HAVING n > 0 AND isFinite(median)"""


_COST = _hourly(
    "cost",
    "llm_kpi_1h",
    "priced_count",
    "sumMap(cost_histogram)",
    "[0., assay_quantile(histogram, 0.5), assay_quantile(histogram, 0.95)]",
    # Costs are skewed: the spread around the median is that of their logarithm.
    f"if(q[2] > 0 AND q[3] > q[2], q[2] * log(q[3] / q[2]) / {_P95}, 0)",
    evaluator=False,
)
_QUALITY = _hourly(
    "quality",
    "llm_quality_1h",
    "evaluation_count",
    "sumMap(score_histogram)",
    "[" + ", ".join(f"assay_score_quantile(histogram, {level})" for level in (0.05, 0.5, 0.95)) + "]",
    f"(q[3] - q[1]) / {2 * _P95}",
    evaluator=True,
)

# Hours (with the lead) in which a page of the tenant was open; an open one lasts until now.
_EXCLUDED = """
    SELECT tenant_id, arrayJoin(arrayMap(
        n -> toStartOfHour(began) + toIntervalHour(n),
        range(toUInt32(dateDiff('hour', toStartOfHour(began), ended) + 1))
    )) AS period_start
    FROM (
        SELECT
            tenant_id,
            toDateTime(minIf(occurred_at, event = 'opened'), 'UTC') - toIntervalMinute({lead:UInt32})
                AS began,
            toDateTime(
                if(countIf(event = 'resolved') > 0, maxIf(occurred_at, event = 'resolved'),
                   toDateTime64({last:Date}, 3, 'UTC') + toIntervalDay(1)), 'UTC'
            ) AS ended
        FROM alerts
        WHERE cohort = 'production' AND {exclude:UInt8} = 1
        GROUP BY tenant_id, alert_id
        HAVING countIf(event = 'opened') > 0 AND countIf(level = 'page') > 0 AND ended >= began
    )"""

_STATEMENT = f"""
INSERT INTO kpi_baselines (
    as_of, measure, scope, tenant_id, model, prompt_template_version, evaluator, evaluator_version,
    median, std, spread, sample_count, hours, half_life_days, computed_at
)
WITH
excluded AS ({_EXCLUDED}),
hourly AS ({_COST} UNION ALL {_QUALITY}),
weighted AS (
    SELECT
        *,
        -- Every day whose past this hour belongs to.
        toDate(arrayJoin(range(
            greatest(toUInt32({{first:Date}}), toUInt32(toDate(period_start, 'UTC')) + 1),
            least(toUInt32({{last:Date}}), toUInt32(toDate(period_start, 'UTC')) + {{lookback:UInt32}}) + 1
        ))) AS as_of,
        dateDiff('hour', period_start, toDateTime(as_of, 'UTC')) - 1 AS age_hours,
        exp2(-age_hours / 24 / {{half_life:Float64}}) AS decay,
        toUInt64(greatest(1, round({_WEIGHT_UNITS} * n * decay))) AS weight
    FROM hourly
)
SELECT
    as_of, measure, scope, tenant_id, model_key, template_key, evaluator, evaluator_version,
    quartiles[2], (quartiles[3] - quartiles[1]) / {_IQR}, typical_spread,
    samples, hours, {{half_life:Float64}}, fromUnixTimestamp64Micro({{computed_at:Int64}}, 'UTC')
FROM (
    SELECT
        as_of, measure, scope, tenant_id, model_key, template_key, evaluator, evaluator_version,
        quantilesExactWeightedInterpolated(0.25, 0.5, 0.75)(median, weight) AS quartiles,
        quantileExactWeightedInterpolated(0.5)(spread, weight) AS typical_spread,
        sum(n) AS samples, count() AS hours
    FROM weighted
    GROUP BY as_of, measure, scope, tenant_id, model_key, template_key, evaluator, evaluator_version
)
"""
