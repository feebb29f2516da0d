"""Records as senders write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2024, 1, 15, 10, 0, tzinfo=UTC)


def span(**changes: Any) -> dict[str, Any]:
    """A span of half an hour before :data:`NOW`."""
    return {
        "trace_id": "abc123",
        "span_id": "gateway-001",
        "timestamp": "2024-01-15T09:23:47.123Z",
        "model": "claude-3-sonnet-20240229",
        "tokens": {"prompt": 1247, "completion": 342, "cached": 800},
        "tenant_id": "org_42",
        **changes,
    }


def live(**changes: Any) -> dict[str, Any]:
    """A span of a minute ago."""
    return span(timestamp=(datetime.now(UTC) - timedelta(minutes=1)).isoformat(), **changes)


def record(kind: str) -> dict[str, Any]:
    """A record of ``kind`` of a minute ago."""
    at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    return {
        "span": live(),
        "evaluation": {
            "trace_id": "abc123",
            "evaluator": "judge",
            "evaluator_version": "2",
            "score": 0.87,
            "timestamp": at,
        },
        "feedback": {
            "trace_id": "abc123",
            "value": -1,
            "timestamp": at,
            "comment": "mail me: ann@example.org",
        },
        "outcome": {"trace_id": "abc123", "event": "conversion", "value": 19.99, "timestamp": at},
        "label": {"trace_id": "abc123", "rater": "ann", "score": 0.5, "timestamp": at},
        "deployment": {"version": "v7", "description": "new retriever", "timestamp": at},
    }[kind]
