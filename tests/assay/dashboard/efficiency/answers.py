"""Answers of the page's queries, as frames: one row of the table, and one day of a template."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas as pd

DAY = datetime(2026, 3, 18, tzinfo=UTC)


def row(**fields: Any) -> dict[str, Any]:
    """A template of which everything is known."""
    return {
        "tenant_id": "acme",
        "prompt_template_version": "rag-v1",
        "request_count": 1200,
        "unpriced_count": 0,
        "cost_usd": Decimal("36"),
        "complexity_scales": 1,
        "complexity_sources": ["human-time"],
        "complexity_samples": 7,
        "normalized_count": 1200,
        "normalized_cost_usd": Decimal("18"),
        "normalized_per_call_usd": Decimal("0.015"),
        "unknown_tasks": [],
        "completion_ratio": 0.2154,
        "spike_days": 1,
        "drop_days": 2,
        "flagged_days": 3,
        "cache_hit_rate": 0.5,
        "missed_discount_usd": Decimal(0),
        "missed_unknown": 0,
        "missed_sources": [],
        "converted_count": 18,
        "cost_per_conversion_usd": Decimal("2"),
        "escalated_count": 12,
        "escalation_rate": 0.01,
        "session_count": 90,
        "cost_per_session_usd": Decimal("0.4"),
        "found": 1,
    } | fields


UNKNOWN: dict[str, Any] = {
    "unpriced_count": 1200,
    "cost_usd": None,
    "complexity_scales": 0,
    "complexity_sources": [],
    "complexity_samples": 0,
    "normalized_count": None,
    "normalized_cost_usd": None,
    "normalized_per_call_usd": None,
    "unknown_tasks": ["", "smalltalk"],
    "completion_ratio": None,
    "spike_days": None,
    "drop_days": None,
    "flagged_days": None,
    "cache_hit_rate": None,
    "missed_discount_usd": None,
    "converted_count": None,
    "cost_per_conversion_usd": None,
    "escalated_count": None,
    "escalation_rate": None,
    "session_count": None,
    "cost_per_session_usd": None,
}


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(row()))


def day(**fields: Any) -> dict[str, Any]:
    """A day on which everything is known and nothing flagged."""
    return {
        "period": DAY,
        "day_completion_ratio": 0.2,
        "day_trailing_median": 0.25,
        "day_is_verbosity_spike": 0.0,
        "day_is_truncation_drop": 0.0,
        "day_length_finish_share": 0.0,
        "complexity_scales": 1,
        "normalized_count": 10,
        "normalized_cost_usd": Decimal("4"),
        "normalized_per_call_usd": Decimal("0.4"),
        "unknown_tasks": [],
        "cache_hit_rate": 0.5,
    } | fields


def days(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(day()))
