"""What happened in the last minutes, in the store behind the page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.rows import evaluation, insert, span


def alert(alert_id: str, tenant: str, *, event: str = "opened", level: str = "page") -> dict[str, Any]:
    return {
        "alert_id": alert_id,
        "event_id": f"{alert_id}-{event}",
        "event": event,
        "occurred_at": datetime.now(UTC),
        "tenant_id": tenant,
        "level": level,
        "cohort": "production",
        "summary": "rag-v1: cost × 3.04, quality × 0.82",
        "prompt_template_version": "rag-v1",
        "actor": "",
    }


def fill(settings: Settings) -> None:
    """Traffic of three tenants in the last twenty minutes, one of them generated, and an experiment."""
    now = datetime.now(UTC)
    calls, scores = [], []
    for minute in range(20):
        time = now - timedelta(minutes=minute, seconds=1)
        priced = {"cost_usd": Decimal("0.01"), "cost_status": "priced", "cached_tokens": 400}
        calls += [
            span(time, tenant_id="acme", **priced),
            span(time, tenant_id="acme", model="gpt-4.1", **priced),
            span(time, tenant_id="globex", **(priced | {"cost_usd": Decimal("0.02")}), source="simulator"),
            span(
                time,
                tenant_id="unmeasured",
                cost_usd=None,
                cost_status="unpriced",
                cached_tokens=None,
                latency_ms=None,
            ),
            span(time, tenant_id="trial", experiment_id="exp-1", **priced),
        ]
        scores.append(evaluation(time, tenant_id="acme", score=0.8))
    with connect(settings) as client:
        for name in {frozenset(call) for call in calls}:
            insert(client, "llm_traces", *(call for call in calls if frozenset(call) == name))
        insert(client, "llm_evaluations", *scores)
