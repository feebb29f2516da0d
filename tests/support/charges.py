"""Calls whose cost follows from a price list by token class, for invoices and chargeback."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

# US dollars per million tokens, and what a batch costs beside it.
LIST = {
    "input": Decimal(3),
    "read": Decimal("0.30"),
    "write_5m": Decimal("3.75"),
    "write_1h": Decimal(6),
    "output": Decimal(15),
}
BATCH = Decimal("0.5")
OCTOBER = datetime(2025, 10, 1, tzinfo=UTC)


def cost(row: dict[str, Any], **rates: Decimal) -> Decimal:
    """What a row of ``llm_traces`` costs at the list's rates but for those given."""
    at = LIST | rates
    cached, written, hour = (
        row[name] or 0 for name in ("cached_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    )
    dollars = (
        at["input"] * (row["prompt_tokens"] - cached - written)
        + at["read"] * cached
        + at["write_5m"] * (written - hour)
        + at["write_1h"] * hour
        + at["output"] * row["completion_tokens"]
    ) / 10**6
    return dollars * (BATCH if row["pricing_tier"] == "batch" else 1)


def charged(number: int, **changes: Any) -> dict[str, Any]:
    """The ``number``-th of many calls of October 2025, an hour apart, half of every prompt cached or so."""
    dice = random.Random(number)
    prompt = dice.randrange(1_000, 20_000)
    cached = int(prompt * dice.uniform(0.3, 0.6))
    written = int((prompt - cached) * dice.uniform(0, 0.4))
    row: dict[str, Any] = {
        "tenant_id": f"org_{number % 3}",
        "model": "claude-sonnet-4-5",
        "response_model": "claude-sonnet-4-5-20250929",
        "provider": "anthropic",
        "prompt_template_version": f"template-{number % 2}",
        "timestamp": OCTOBER + timedelta(hours=number, minutes=7),
        "trace_id": f"trace-{number}",
        "span_id": "call",
        "pricing_tier": "batch" if number % 4 == 0 else "standard",
        "status": "ok",
        "prompt_tokens": prompt,
        "completion_tokens": dice.randrange(50, 2_000),
        "cached_tokens": cached,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": int(written * dice.random()),
        "billed": True,
        "cost_status": "priced",
        "source": "native",
        "retention_start": datetime.now(UTC).date(),
        "sign": 1,
    } | changes
    if "cost_usd" not in row:
        row["cost_usd"] = cost(row)
    return row
