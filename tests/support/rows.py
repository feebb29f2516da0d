"""Rows as the collector's writer stores them, for tests that start behind it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client


def insert(client: Client, table: str, *rows: Mapping[str, Any]) -> None:
    """Insert rows of the same columns."""
    names = list(rows[0])
    client.insert(table, [[row[name] for name in names] for row in rows], column_names=names)


def span(timestamp: datetime, **fields: Any) -> dict[str, Any]:
    """A priced call; ``ingested_at`` is a moment after it unless given."""
    return {
        "tenant_id": "org_1",
        "model": "claude-sonnet-4-5",
        "prompt_template_version": "rag-v1",
        "timestamp": timestamp,
        "trace_id": uuid.uuid4().hex,
        "span_id": "gateway-1",
        "status": "ok",
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "billed": True,
        "cost_usd": Decimal("0.006"),
        "cost_status": "priced",
        "latency_ms": 900.0,
        "source": "native",
        "ingested_at": timestamp,
        "retention_start": timestamp.date(),
        "sign": 1,
        **fields,
    }


def evaluation(timestamp: datetime, **fields: Any) -> dict[str, Any]:
    """A score of a call that happened at ``timestamp``."""
    return {
        "tenant_id": "org_1",
        "model": "claude-sonnet-4-5",
        "prompt_template_version": "rag-v1",
        "span_timestamp": timestamp,
        "timestamp": timestamp,
        "trace_id": uuid.uuid4().hex,
        "span_id": "gateway-1",
        "evaluator": "llm-as-judge",
        "evaluator_version": "1",
        "score": 0.9,
        "sampling_rate": 1.0,
        "source": "judge",
        "ingested_at": timestamp,
        "retention_start": timestamp.date(),
        "sign": 1,
        **fields,
    }
