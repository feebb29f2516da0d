"""Which spans are judged: stratified by the tenant's tier, deterministic by the trace id.

The decision is made in ClickHouse, in the query that fetches the texts. Every trace has a fixed standing
between 0 and 1, the same that decides whether its text is captured (:func:`assay.collector.capture.share`),
and is in a sample when its standing is below the rate: a trace in a small sample is in each larger one. So
where a tenant's text is itself captured for a sample alone, the smaller of the two rates is the chance of
being judged.

The rate is stored beside every score. A rollup that weights each score with 1 / rate is unbiased, because a
trace is in the sample with exactly that probability (Horvitz and Thompson, 1952).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from clickhouse_connect.driver.client import Client

from assay.contracts.records import TenantTier

# Above a million requests a day the judge is what limits the quality stream. These shares keep every answer
# of the tenants whose answers matter most and a usable number of the others: at 1 %, 10,000 calls a day still
# give 100 scores, whose mean has a standard error of 0.03 where scores spread by 0.3.
TIER_RATES: Final[Mapping[TenantTier, float]] = {"high_value": 1.0, "standard": 0.1, "batch": 0.01}
# Heuristics cost nothing but processor time.
EVERYTHING: Final[Mapping[TenantTier, float]] = {"high_value": 1.0, "standard": 1.0, "batch": 1.0}
# A tenant of which no tier is known is treated as the contract's default.
_DEFAULT_TIER: Final[TenantTier] = "standard"

# Overrides that are in force, the most specific first and among equals the newest. The runbook sets them, to
# judge everything of a cohort during an incident.
OVERRIDES: Final = """
    SELECT arrayMap(
        r -> (r.3, r.4, r.5, r.6),
        arrayReverseSort(groupArray((
            (tenant_id != '') + (model != '') + (prompt_template_version != ''), set_at,
            toString(tenant_id), toString(model), toString(prompt_template_version),
            assumeNotNull(toFloat64OrNull(value))
        )))
    )
    FROM overrides FINAL
    WHERE what = 'sampling_rate'
        AND (until IS NULL OR until > now64(3))
        AND toFloat64OrNull(value) BETWEEN 0 AND 1
"""


def tier_rate(tier: str, rates: Mapping[TenantTier, float]) -> str:
    """The SQL of a tier's rate.

    Args:
        tier: SQL of the tier.
        rates: share per tier, 0 to 1.

    Raises:
        ValueError: a rate is not between 0 and 1.
    """
    if wrong := {name: rate for name, rate in rates.items() if not 0 <= rate <= 1}:
        raise ValueError(f"sampling rates must lie between 0 and 1, got {wrong}")
    branches = ", ".join(f"{tier} = '{name}', {rate!r}" for name, rate in rates.items())
    return f"multiIf({branches}, {rates[_DEFAULT_TIER]!r})"


def overridden(rate: str, *, rules: str = "rules") -> str:
    """The SQL of a rate with the first override that fits the row's tenant, model and template.

    Args:
        rate: SQL of the rate without overrides.
        rules: SQL of the array that :data:`OVERRIDES` selects.
    """
    fits = (
        "r -> (r.1 = '' OR r.1 = tenant_id) AND (r.2 = '' OR r.2 = model) "
        "AND (r.3 = '' OR r.3 = prompt_template_version)"
    )
    return f"if(arrayExists({fits}, {rules}), tupleElement(arrayFirst({fits}, {rules}), 4), {rate})"


def within_capture(rate: str, capture: str, capture_rate: str) -> str:
    """The SQL of the chance of being judged, where only captured text can be.

    Args:
        rate: SQL of the sampling rate.
        capture: SQL of the tenant's capture policy.
        capture_rate: SQL of the share that the policy ``sampled`` keeps.
    """
    return f"multiIf({capture} = 'full', {rate}, {capture} = 'sampled', least({rate}, {capture_rate}), 0.)"


def standing(trace_id: str = "trace_id", *, salt: str = "") -> str:
    """The SQL of a trace's standing, 0 to 1. Another ``salt`` gives an independent one."""
    of = f"concat({trace_id}, '{salt}')" if salt else trace_id
    return f"(xxHash64({of}) / 18446744073709551616.)"


def sampled(rate: str, trace_id: str = "trace_id") -> str:
    """The SQL of whether a trace is in the sample of that rate."""
    # The quotient of the largest hashes rounds to 1, and a rate of 1 has to take them too.
    return f"({rate} >= 1 OR {standing(trace_id)} < {rate})"


def refused_overrides(client: Client) -> list[str]:
    """The overrides in force whose value is not a rate: they are not followed, and somebody should know."""
    rows = client.query(
        "SELECT override_id, value FROM overrides FINAL WHERE what = 'sampling_rate' "
        "AND (until IS NULL OR until > now64(3)) AND ifNull(toFloat64OrNull(value) NOT BETWEEN 0 AND 1, 1) "
        "ORDER BY override_id"
    ).result_rows
    return [
        f"override {override_id}: value {value!r} is not a rate between 0 and 1"
        for override_id, value in rows
    ]
