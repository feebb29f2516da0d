"""Checks of the raw tables: each one query of milliseconds and one judgement of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

# An invoice that differs by more than this is an accounting error; unpriced calls are such a difference.
UNPRICED_SHARE = 0.05
# A source that sends one bad record in a hundred has a broken mapping, not a bad day.
REJECTED_SHARE = 0.01


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    passed: bool
    description: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """A check of a raw table.

    Attributes:
        name, table, description: as shown in the UI.
        query: gives one row.
        judge: of that row.
        severity: ERROR where figures are wrong, WARN where they are incomplete.
    """

    name: str
    table: str
    description: str
    query: str
    judge: Callable[[Mapping[str, Any]], Finding]
    severity: dg.AssetCheckSeverity


def judge(client: Client, check: Check) -> Finding:
    """Run a check. What fails is read twice: a batch that is stored between two reads is not a finding."""
    for _ in range(2):
        finding = check.judge(next(iter(client.query(check.query).named_results())))
        if finding.passed:
            break
    return finding


def judge_duplicates(row: Mapping[str, Any]) -> Finding:
    """Every identity (tenant, trace, span) stands once."""
    repeated = row["records"] - row["identities"]
    return Finding(
        passed=repeated == 0,
        description=f"{repeated:,} of {row['records']:,} records of the last two hours are stored again",
        metadata={"records": row["records"], "identities": row["identities"]},
    )


def judge_equality(row: Mapping[str, Any]) -> Finding:
    """``raw_x`` equals ``rollup_x`` for every x; sums of nothing are zero here."""
    names = [name.removeprefix("raw_") for name in row if name.startswith("raw_")]
    figures = {name: (row[f"raw_{name}"] or 0, row[f"rollup_{name}"] or 0) for name in names}
    wrong = [f"{name}: raw {raw:,}, rollup {roll:,}" for name, (raw, roll) in figures.items() if raw != roll]
    return Finding(
        passed=not wrong,
        description="; ".join(wrong) or f"equal: {', '.join(names)}",
        metadata={
            f"{side}_{name}": _figure(value)
            for name, pair in figures.items()
            for side, value in zip(("raw", "rollup"), pair, strict=True)
        },
    )


def judge_share(limit: float, what: str) -> Callable[[Mapping[str, Any]], Finding]:
    """``part`` of ``whole`` is at most ``limit``; of nothing nothing can be said against it."""

    def decide(row: Mapping[str, Any]) -> Finding:
        part, whole = row["part"], row["whole"]
        if not whole:
            return Finding(True, f"no traffic: no share of {what}", {"count": part, "of": whole})
        share = part / whole
        metadata = {"count": part, "of": whole, "share": share}
        if row["top"]:
            metadata["top"] = row["top"]
        return Finding(
            passed=share <= limit,
            description=f"{part:,} of {whole:,} {what} ({share:.2%}; at most {limit:.0%})",
            metadata=metadata,
        )

    return decide


def _figure(value: int | Decimal) -> int | str:
    # Dagster's numbers are floats: money is shown as it is stored.
    return str(value) if isinstance(value, Decimal) else value


# The hour that ended ten minutes ago: what is late by less has arrived.
_FROM = "toStartOfMinute(now('UTC')) - INTERVAL 70 MINUTE"
_TO = "toStartOfMinute(now('UTC')) - INTERVAL 10 MINUTE"

CHECKS = (
    Check(
        name="spans_stored_once",
        table="llm_traces",
        description="No span of the last two hours is stored twice.",
        query="""
            SELECT toInt64(count()) AS records, toInt64(uniqExact(tenant_id, trace_id, span_id)) AS identities
            FROM llm_traces FINAL
            WHERE timestamp >= now('UTC') - INTERVAL 2 HOUR
        """,
        judge=judge_duplicates,
        severity=dg.AssetCheckSeverity.ERROR,
    ),
    Check(
        name="last_hour_equals_kpi_rollup",
        table="llm_traces",
        description="Calls, tokens and dollars of an hour are the same in raw table and minute rollup.",
        query=f"""
            SELECT * FROM
            (
                SELECT
                    sum(toInt64(sign)) AS raw_calls,
                    sum(toInt64(sign) * prompt_tokens) AS raw_prompt_tokens,
                    sum(toInt64(sign) * completion_tokens) AS raw_completion_tokens,
                    sum(sign * cost_usd) AS raw_cost_usd
                FROM llm_traces
                WHERE billed AND timestamp >= {_FROM} AND timestamp < {_TO}
            ) AS raw
            CROSS JOIN
            (
                SELECT
                    toInt64(sum(request_count)) AS rollup_calls,
                    toInt64(sum(prompt_tokens)) AS rollup_prompt_tokens,
                    toInt64(sum(completion_tokens)) AS rollup_completion_tokens,
                    sum(cost_usd) AS rollup_cost_usd
                FROM llm_kpi_1min
                WHERE period_start >= {_FROM} AND period_start < {_TO}
            ) AS rollup
        """,
        judge=judge_equality,
        severity=dg.AssetCheckSeverity.ERROR,
    ),
    Check(
        name="calls_are_priced",
        table="llm_traces",
        description=f"At most {UNPRICED_SHARE:.0%} of a day's calls have no price.",
        query="""
            WITH by_model AS
            (
                SELECT model, toInt64(sum(unpriced_count)) AS unpriced, toInt64(sum(request_count)) AS calls
                FROM llm_kpi_1h
                WHERE period_start >= toStartOfHour(now('UTC')) - INTERVAL 24 HOUR
                GROUP BY model
            )
            SELECT
                sum(unpriced) AS part,
                sum(calls) AS whole,
                arrayStringConcat(arraySlice(
                    arrayReverseSort(x -> x.1, groupArrayIf((unpriced, model), unpriced > 0)), 1, 5
                ).2, ', ') AS top
            FROM by_model
        """,
        judge=judge_share(UNPRICED_SHARE, "calls without a price"),
        severity=dg.AssetCheckSeverity.WARN,
    ),
    Check(
        name="spans_are_accepted",
        table="llm_traces",
        description=f"At most {REJECTED_SHARE:.0%} of an hour's spans are rejected.",
        query="""
            WITH
            (
                SELECT toInt64(count()) FROM ingest_rejects
                WHERE kind = 'span' AND received_at >= now('UTC') - INTERVAL 1 HOUR
            ) AS rejected,
            (
                SELECT sum(toInt64(sign)) FROM llm_traces WHERE ingested_at >= now('UTC') - INTERVAL 1 HOUR
            ) AS accepted
            SELECT
                rejected AS part,
                rejected + accepted AS whole,
                (
                    SELECT arrayStringConcat(topK(5)(field || ': ' || reason), '; ') FROM ingest_rejects
                    WHERE kind = 'span' AND received_at >= now('UTC') - INTERVAL 1 HOUR
                ) AS top
        """,
        judge=judge_share(REJECTED_SHARE, "spans rejected"),
        severity=dg.AssetCheckSeverity.WARN,
    ),
    Check(
        name="last_hour_equals_quality_rollup",
        table="llm_evaluations",
        description="Scores of an hour's calls are the same in raw table and minute rollup.",
        query=f"""
            SELECT * FROM
            (
                SELECT
                    sum(toInt64(sign) * isNotNull(score)) AS raw_scores,
                    sum(toInt64(sign) * isNull(score)) AS raw_unknown
                FROM llm_evaluations
                WHERE span_timestamp >= {_FROM} AND span_timestamp < {_TO}
            ) AS raw
            CROSS JOIN
            (
                SELECT
                    toInt64(sum(evaluation_count)) AS rollup_scores,
                    toInt64(sum(unknown_count)) AS rollup_unknown
                FROM llm_quality_1min
                WHERE period_start >= {_FROM} AND period_start < {_TO}
            ) AS rollup
        """,
        judge=judge_equality,
        severity=dg.AssetCheckSeverity.ERROR,
    ),
)
