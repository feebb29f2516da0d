"""How many calls of each provider and model have no price, now and in the days before, in one query.

Which models to look at is asked of the minute rollup, by the minute: its newest hour is read anyway. How many
calls and tokens each provider's model has without a price comes from the quarter hours of
``llm_spend_15min``, which alone name the provider. So a tick costs what the models without a price cost,
and next to nothing where there are none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from clickhouse_connect.driver.client import Client

from sensors.policy import Unpriced

# Provider and model, as calls are stored with them.
Name = tuple[str, str]

QUARTER = timedelta(minutes=15)
# The newest stretch, in which it shows whether the lack of a price goes on: the quarter hour that has begun
# and the one before.
RECENT_QUARTERS = 2
_MOST_REASONS = 5


@dataclass(frozen=True)
class Stretch:
    """A provider's model and a stretch of time in which its calls had no price, and it was put right."""

    name: Name
    begin: datetime
    end: datetime


@dataclass(frozen=True)
class Volume:
    """Calls of one provider's model."""

    name: Name
    # In the window: all, those without a price, and the tokens of these.
    calls: int
    unpriced: int
    tokens: int
    # In its newest stretch.
    recent_calls: int
    recent_unpriced: int
    # Before the window: stretches as long as it that had calls, and the 95th percentile over them of calls
    # without a price; None without such a stretch.
    past_windows: int
    past_unpriced: float | None
    first_unpriced_at: datetime | None
    last_call_at: datetime
    # It went on for as many minutes as the policy asks.
    persisted: bool


@dataclass(frozen=True)
class Details:
    """What the calls without a price have in common, the most frequent first."""

    reasons: Mapping[str, int] = field(default_factory=dict)
    tenants: Mapping[str, int] = field(default_factory=dict)


def volumes(
    client: Client, policy: Unpriced, end: datetime, known: Collection[Name], mended: Sequence[Stretch]
) -> list[Volume]:
    """What there is of every model with enough calls without a price, and of those that are ``known``.

    Args:
        end: of the newest minute that is looked at.
        known: looked at whatever their calls: an alert is open.
        mended: left out of the past, which would else come to look as if it had to be so.
    """
    parameters = {
        "end": int(end.timestamp()),
        "window": policy.window_minutes,
        "days": policy.lookback_days,
        "min_calls": policy.min_calls,
        "persistence": policy.persistence_minutes,
        "providers": [provider for provider, _ in known],
        "models": [model for _, model in known],
        "mended_providers": [stretch.name[0] for stretch in mended],
        "mended_models": [stretch.name[1] for stretch in mended],
        "mended_begins": [int(stretch.begin.timestamp()) for stretch in mended],
        "mended_ends": [int(stretch.end.timestamp()) for stretch in mended],
    }
    answer = client.query(_VOLUMES, parameters=parameters, tz_mode="aware")
    return [
        Volume(name=(row.pop("provider"), row.pop("model")), **{**row, "persisted": bool(row["persisted"])})
        for row in answer.named_results()
    ]


def details(client: Client, policy: Unpriced, end: datetime, names: Collection[Name]) -> dict[Name, Details]:
    """Reasons and tenants of the window's calls without a price. Reads calls themselves: for new alerts."""
    if not names:
        return {}
    answer = client.query(
        _DETAILS,
        parameters={
            "end": int(end.timestamp()),
            "window": policy.window_minutes,
            "providers": [provider for provider, _ in names],
            "models": [model for _, model in names],
            "most": _MOST_REASONS,
        },
    )
    found: dict[Name, dict[str, dict[str, int]]] = {}
    for row in answer.named_results():
        kinds = found.setdefault((row["provider"], row["model"]), {"reasons": {}, "tenants": {}})
        kinds[row["kind"]][row["value"]] = row["calls"]
    return {name: Details(**kinds) for name, kinds in found.items()}


_END = "toDateTime({end:UInt32}, 'UTC')"
# The quarter hour in which the newest minute lies. The window is made of whole ones, the newest as far as it
# has come.
_NEWEST = f"toStartOfFifteenMinutes({_END} - toIntervalSecond(1))"

_VOLUMES = f"""
WITH
minutes AS (
    SELECT model, period_start, sum(unpriced_count) AS unpriced
    FROM llm_kpi_1min
    WHERE period_start >= {_END} - toIntervalMinute({{window:UInt32}}) AND period_start < {_END}
    GROUP BY model, period_start
    -- Repriced calls have both signs.
    HAVING unpriced > 0
),
-- No provider's share of a model's calls can be enough where all together are not.
candidates AS (
    SELECT model, count() >= {{persistence:UInt32}} AS persisted
    FROM minutes
    GROUP BY model
    HAVING sum(unpriced) >= {{min_calls:UInt32}}
),
quarters AS (
    SELECT
        toString(provider) AS provider, toString(model) AS model, period_start,
        intDiv(dateDiff('minute', period_start, {_NEWEST}), 15) AS age,
        -- Stretches as long as the window, counted back from it.
        intDiv(age * 15, {{window:UInt32}}) AS stretch,
        sum(request_count) AS quarter_calls,
        sumIf(request_count, NOT is_priced) AS quarter_unpriced,
        sumIf(
            uncached_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
            + completion_tokens,
            NOT is_priced
        ) AS quarter_tokens
    FROM llm_spend_15min
    WHERE
        period_start > {_END} - toIntervalDay({{days:UInt32}}) AND period_start < {_END}
        AND (
            model IN (SELECT model FROM candidates)
            OR (provider, model) IN (
                SELECT p, m FROM (SELECT {{providers:Array(String)}} AS p, {{models:Array(String)}} AS m)
                ARRAY JOIN p, m
            )
        )
    GROUP BY provider, model, period_start
    HAVING quarter_calls > 0
),
whole AS (
    SELECT
        provider, model,
        sumIf(quarter_calls, stretch = 0) AS calls, sumIf(quarter_unpriced, stretch = 0) AS unpriced,
        sumIf(quarter_tokens, stretch = 0) AS tokens,
        sumIf(quarter_calls, age < {RECENT_QUARTERS}) AS recent_calls,
        sumIf(quarter_unpriced, age < {RECENT_QUARTERS}) AS recent_unpriced,
        mapValues(sumMapIf(
            map(stretch, quarter_unpriced),
            stretch > 0 AND NOT arrayExists(
                (p, m, b, e) -> p = provider AND m = model AND toUnixTimestamp(period_start) BETWEEN b AND e,
                {{mended_providers:Array(String)}}, {{mended_models:Array(String)}},
                {{mended_begins:Array(UInt32)}}, {{mended_ends:Array(UInt32)}}
            )
        )) AS past,
        minIf(period_start, quarter_unpriced > 0) AS first_at,
        countIf(quarter_unpriced > 0) > 0 AS is_unpriced,
        max(period_start) AS last_call_at
    FROM quarters
    GROUP BY provider, model
)
SELECT
    provider, model, calls, unpriced, tokens, recent_calls, recent_unpriced,
    length(past) AS past_windows,
    if(past_windows > 0, arrayReduce('quantileExact(0.95)', past), NULL) AS past_unpriced,
    if(is_unpriced, first_at, NULL) AS first_unpriced_at,
    last_call_at,
    model IN (SELECT model FROM candidates WHERE persisted) AS persisted
FROM whole
ORDER BY provider, model
"""

_DETAILS = f"""
SELECT
    toString(provider) AS provider, toString(model) AS model,
    said.1 AS kind, said.2 AS value, sum(sign) AS calls
FROM llm_traces
ARRAY JOIN [('reasons', toString(cost_reason)), ('tenants', toString(tenant_id))] AS said
WHERE
    timestamp >= {_END} - toIntervalMinute({{window:UInt32}}) AND timestamp < {_END}
    AND billed AND cost_status = 'unpriced'
    AND (provider, model) IN (
        SELECT p, m FROM (SELECT {{providers:Array(String)}} AS p, {{models:Array(String)}} AS m)
        ARRAY JOIN p, m
    )
GROUP BY provider, model, kind, value
HAVING calls > 0
ORDER BY calls DESC, value
LIMIT {{most:UInt32}} BY provider, model, kind
"""
