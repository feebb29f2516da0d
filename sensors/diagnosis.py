"""What changed with a regression: the questions that the on-call asks first, answered in two queries for all
alerts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

# Share of calls that has to move to another model before the model is named as what changed.
_MIX_SHIFT = 0.2
# Ratios per call beyond which token counts are named; prompts and answers of one template rarely move by a
# third.
_TOKENS_UP, _TOKENS_DOWN = 1.3, 0.7
_CACHE_DROP = 0.1
_ERRORS_UP = 0.05
_BEFORE = timedelta(hours=24)


@dataclass(frozen=True)
class Subject:
    """Whose change is asked for: the traffic of an alert and the window in which it was seen."""

    alert_id: str
    tenant_id: str
    cohort: str
    template: str
    start: datetime
    end: datetime


def diagnose(
    client: Client, subjects: Sequence[Subject], deployment_lookback: timedelta
) -> dict[str, dict[str, Any]]:
    """For each alert id what its traffic looks like now, in the 24 hours before, and what was deployed.

    ``before`` is None where there was no traffic. ``changes`` are sentences, the most telling first.
    """
    if not subjects:
        return {}
    parameters = {
        "ids": [s.alert_id for s in subjects],
        "tenants": [s.tenant_id for s in subjects],
        "cohorts": [s.cohort for s in subjects],
        "templates": [s.template for s in subjects],
        "starts": [int(s.start.timestamp()) for s in subjects],
        "ends": [int(s.end.timestamp()) for s in subjects],
        "before": int(_BEFORE.total_seconds()),
        "lookback": int(deployment_lookback.total_seconds()),
    }
    traffic: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in client.query(_TRAFFIC, parameters=parameters).named_results():
        traffic[row["alert"], row["after"]].append(row)
    deployed: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in client.query(_DEPLOYMENTS, parameters=parameters, tz_mode="aware").named_results():
        alert = row.pop("alert")
        deployed[alert].append({**row, "timestamp": row["timestamp"].isoformat()})
    found = {}
    for subject in subjects:
        before = _shape(traffic[subject.alert_id, 0])
        after = _shape(traffic[subject.alert_id, 1])
        deployments = deployed[subject.alert_id]
        found[subject.alert_id] = {
            "before": before,
            "after": after,
            "deployments": deployments,
            "changes": changes(before, after, deployments),
        }
    return found


def changes(
    before: dict[str, Any] | None, after: dict[str, Any] | None, deployments: Sequence[dict[str, Any]]
) -> list[str]:
    """What differs between two shapes of traffic, in sentences, the most telling first."""
    found = []
    for deployment in deployments:
        what = " ".join(
            filter(None, (deployment["model"], deployment["prompt_template_version"], deployment["version"]))
        )
        found.append(f"deployment of {what} at {deployment['timestamp'][11:16]} UTC")
    if before is None or after is None:
        return found
    shares = {
        model: (before["models"].get(model, 0.0), after["models"].get(model, 0.0))
        for model in {**before["models"], **after["models"]}
    }
    for model, (was, share) in sorted(shares.items(), key=lambda item: item[1][0] - item[1][1]):
        if share - was >= _MIX_SHIFT:
            found.append(f"model {model} went from {was:.0%} to {share:.0%} of calls")
    prompt = _ratio(before["prompt_tokens_per_call"], after["prompt_tokens_per_call"])
    ratio = _ratio(before["completion_ratio"], after["completion_ratio"])
    if prompt is not None and not _TOKENS_DOWN < prompt < _TOKENS_UP:
        found.append(
            f"prompt tokens per call × {prompt:.2f}: {'more' if prompt > 1 else 'less'} context per call"
        )
    # The ratio also moves with the prompts; it says something about the answers only where these moved as
    # well.
    if prompt is not None and ratio is not None:
        if ratio >= _TOKENS_UP and ratio * prompt >= _TOKENS_UP:
            found.append(f"completion ratio × {ratio:.2f}: runaway answers or context overflow")
        elif ratio <= _TOKENS_DOWN and ratio * prompt <= _TOKENS_DOWN:
            found.append(f"completion ratio × {ratio:.2f}: truncated answers")
    was, rate = before["cache_hit_rate"], after["cache_hit_rate"]
    if was is not None and rate is not None and was - rate >= _CACHE_DROP:
        found.append(f"cache hit rate fell from {was:.0%} to {rate:.0%}")
    if after["error_rate"] - before["error_rate"] >= _ERRORS_UP:
        found.append(f"error rate rose from {before['error_rate']:.0%} to {after['error_rate']:.0%}")
    return found


def _ratio(before: float | None, after: float | None) -> float | None:
    return None if not before or after is None else after / before


def _shape(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Rates and the model mix of rows by model; None without traffic."""

    def total(name: str) -> float:
        return float(sum(row[name] or 0 for row in rows))

    calls, prompt, cacheable = total("calls"), total("prompt"), total("cacheable")
    if calls <= 0:
        return None
    return {
        "calls": int(calls),
        "models": {row["model"]: round(float(row["calls"]) / calls, 4) for row in rows},
        "prompt_tokens_per_call": prompt / calls,
        "completion_ratio": total("completion") / prompt if prompt else None,
        "cache_hit_rate": total("cached") / cacheable if cacheable else None,
        "error_rate": total("errors") / calls,
    }


_SUBJECTS = """
    SELECT
        s.1 AS alert, s.2 AS tenant, s.3 AS cohort, s.4 AS template,
        toDateTime(s.5, 'UTC') AS start, toDateTime(s.6, 'UTC') AS end
    FROM (
        SELECT arrayJoin(arrayZip(
            {ids:Array(String)}, {tenants:Array(String)}, {cohorts:Array(String)}, {templates:Array(String)},
            {starts:Array(UInt32)}, {ends:Array(UInt32)}
        )) AS s
    )"""

_CALLS = """
    SELECT
        s.alert AS alert, {after} AS after, toString(k.model) AS model,
        sum(k.request_count) AS calls, sum(k.prompt_tokens) AS prompt, sum(k.completion_tokens) AS completion,
        sum(k.cached_tokens) AS cached, sum(k.cacheable_prompt_tokens) AS cacheable,
        sum(k.error_count) AS errors
    FROM {table} AS k
    INNER JOIN subjects AS s ON k.tenant_id = s.tenant AND k.cohort = s.cohort
    WHERE {period} AND (s.template = '' OR k.prompt_template_version = s.template)
        AND k.tenant_id IN {{tenants:Array(String)}}
        AND k.period_start
            >= toDateTime(arrayMin({{starts:Array(UInt32)}}), 'UTC') - toIntervalSecond({reach})
    GROUP BY alert, model"""

_TRAFFIC = (
    f"WITH subjects AS ({_SUBJECTS})"
    + _CALLS.format(
        after=1, table="llm_kpi_1min", period="k.period_start >= s.start AND k.period_start < s.end", reach=0
    )
    + " UNION ALL"
    + _CALLS.format(
        after=0,
        table="llm_kpi_1h",
        # Whole hours, none of which reaches into the window.
        period="k.period_start >= toStartOfHour(s.start) - toIntervalSecond({before:UInt32}) "
        "AND k.period_start < toStartOfHour(s.start)",
        reach="{before:UInt32} + 3600",
    )
)

_DEPLOYMENTS = f"""
WITH subjects AS ({_SUBJECTS})
SELECT
    s.alert AS alert, d.timestamp AS timestamp, toString(d.model) AS model,
    toString(d.prompt_template_version) AS prompt_template_version, d.version AS version,
    d.description AS description
FROM (SELECT * FROM deployments FINAL) AS d
CROSS JOIN subjects AS s
WHERE d.tenant_id IN ('', s.tenant)
    AND (s.template = '' OR d.prompt_template_version IN ('', s.template))
    AND d.timestamp <= s.end AND d.timestamp > s.end - toIntervalSecond({{lookback:UInt32}})
ORDER BY d.timestamp DESC
"""
