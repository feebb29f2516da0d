"""A day of calls with what belongs to them: every figure of a call follows from its number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from assay.settings import Settings
from assay.warehouse.client import connect

# Noon, three days ago: every hour of it is closed, so that the tests of the project compare it.
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)


def call(number: int, **changes: Any) -> dict[str, Any]:
    """A row of ``llm_traces``: the ``number``-th call of 20 hours, in one of 12 series."""
    row: dict[str, Any] = {
        "tenant_id": f"org_{number % 3}",
        "model": f"model-{number % 2}",
        "prompt_template_version": f"template-{number % 2}",
        "timestamp": NOON + timedelta(seconds=72 * number),
        "trace_id": f"trace-{number}",
        "span_id": "call",
        "pricing_tier": "standard",
        "experiment_id": "exp" if number % 10 == 0 else "",
        "status": ("ok", "ok", "error", "aborted")[number % 4],
        "prompt_tokens": 100 + number,
        "completion_tokens": 10 + number % 7,
        "cached_tokens": None if number % 5 == 0 else number % 100,
        "billed": number % 17 != 0,
        "cost_usd": None if number % 9 == 0 else Decimal(number + 1) / 10_000,
        "cost_status": "unpriced" if number % 9 == 0 else "priced",
        "latency_ms": 100.0 + number,
        "ttft_ms": 50.0,
        "source": "native",
        "retention_start": datetime.now(UTC).date(),
        "sign": 1,
    }
    return row | changes


def score(number: int) -> dict[str, Any]:
    """A row of ``llm_evaluations``: what a judge said of the ``number``-th call."""
    scored = call(number)
    return {
        **{name: scored[name] for name in ("tenant_id", "model", "prompt_template_version", "experiment_id")},
        "span_timestamp": scored["timestamp"],
        "timestamp": scored["timestamp"] + timedelta(seconds=5),
        "trace_id": scored["trace_id"],
        "span_id": "call",
        "evaluator": "judge",
        "evaluator_version": "v1",
        "score": None if number % 40 == 0 else (number % 101) / 100,
        "sampling_rate": 0.1 if number % 2 else 1.0,
        "source": "judge",
        "retention_start": scored["retention_start"],
    }


def insert(settings: Settings, table: str, rows: list[dict[str, Any]], **query_settings: Any) -> None:
    """Insert rows that have the same fields."""
    names = list(rows[0])
    with connect(settings) as client:
        client.insert(
            table, [[row[n] for n in names] for row in rows], column_names=names, settings=query_settings
        )


def fill(settings: Settings, calls: int = 1000) -> None:
    """Calls, scores, outcomes, labels, tenants and an alert."""
    insert(settings, "llm_traces", [call(n) for n in range(calls)])
    insert(settings, "llm_evaluations", [score(n) for n in range(0, calls, 4)])
    insert(
        settings,
        "business_outcomes",
        [
            {"trace_id": f"trace-{n}", "event": "conversion", "value": Decimal(30), "timestamp": NOON}
            for n in range(1, calls, 50)
        ],
    )
    insert(
        settings,
        "human_labels",
        [
            {"trace_id": f"trace-{n}", "rater": "anna", "score": 0.5, "rubric": "r1", "timestamp": NOON}
            for n in range(0, calls, 8)
        ],
    )
    insert(
        settings,
        "tenants",
        [
            {"tenant_id": "org_0", "name": "Old", "tier": "standard", "cost_centre": "", "capture": "none"},
            {
                "tenant_id": "org_0",
                "name": "Zero",
                "tier": "high_value",
                "cost_centre": "CC-7",
                "capture": "none",
            },
        ],
    )
    insert(
        settings,
        "alerts",
        [
            {
                "alert_id": "a1",
                "event_id": "a1-1",
                "event": "opened",
                "occurred_at": NOON,
                "tenant_id": "org_0",
                "level": "page",
                "rule": "dual",
                "scope": "tenant",
                "cohort": "production",
                "summary": "Cost is up",
                "evidence": "{}",
            }
        ],
    )
