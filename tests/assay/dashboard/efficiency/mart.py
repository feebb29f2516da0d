"""Rows of ``efficiency_daily`` whose figures can be added up by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

TODAY = datetime.now(UTC).date()
BUILT = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def fill(client: Client, *, built: datetime = BUILT) -> None:
    """What :func:`rows` has."""
    insert(client, *rows(), built=built)


def insert(client: Client, *rows: Mapping[str, Any], built: datetime = BUILT) -> None:
    """Rows of any kinds, as one build leaves them."""
    found = [{"built_at": built, **row} for row in rows]
    for columns in {tuple(row) for row in found}:
        of_these = [list(row.values()) for row in found if tuple(row) == columns]
        client.insert("efficiency_daily", of_these, column_names=list(columns))


def rows() -> Iterator[Mapping[str, Any]]:
    """Ten days of two tenants, and one of a third.

    acme, `rag-v1`: twice two models, of a timed task, spikes and drops; `chat`: of a task that nobody timed;
    globex, `rag-v1`: none of its calls has a price; old: a month and a half ago.
    """
    rag = {"tenant_id": "acme", "prompt_template_version": "rag-v1"}
    for n in range(10):
        for model, cost in (("large", "6"), ("small", "2")):
            yield cost_of(rag | {"model": model}, n, cost, complexity="2", samples=7)
            yield {
                **_key("cache", n, rag | {"model": model}),
                "cacheable_prompt_tokens": 1000,
                # A quarter of each: the large one reads nothing, the small one half of its prompts.
                "cached_tokens": 500 if model == "small" else 0,
                "missed_discount_usd": Decimal(0) if model == "small" else Decimal("0.3"),
                "missed_discount_source": "" if model == "small" else "list",
            }
        ratio = {2: 0.5, 5: 0.05}.get(n, 0.2)
        yield {
            **_key("completion", n, rag),
            "prompt_tokens": 2000,
            "completion_tokens": int(2000 * ratio),
            "completion_ratio": ratio,
            "trailing_median": 0.2 if n < 8 else None,
            "is_verbosity_spike": (n == 2) if n < 8 else None,
            "is_truncation_drop": (n == 5) if n < 8 else None,
            "length_finish_share": 0.4 if n == 5 else 0.0,
        }
        yield {
            **_key("outcomes", n, rag | {"model": "large"}),
            "trace_count": 20,
            "converted_count": 4,
            "escalated_count": 0,
            "trace_cost_usd": Decimal(8),
        }
        sessions = {"session_count": 3, "priced_session_count": 2, "cost_per_session_usd": Decimal(n)}
        yield {**_key("sessions", n, {"tenant_id": "acme"}), **sessions}
    yield cost_of(rag | {"prompt_template_version": "chat", "model": "small"}, 1, "5", task="smalltalk")
    other = {"tenant_id": "globex", "prompt_template_version": "rag-v1", "model": "own"}
    yield cost_of(other, 0, None, complexity="2", samples=7)
    yield {**_key("outcomes", 0, other), "trace_count": 10, "converted_count": 0, "escalated_count": 1}
    yield cost_of({"tenant_id": "old", "prompt_template_version": "v0", "model": "m"}, 31, "1")


def cost_of(
    of: Mapping[str, str],
    days: int,
    cost: str | None,
    *,
    complexity: str | None = None,
    samples: int = 0,
    scale: str = "human-time",
    task: str = "lookup",
) -> Mapping[str, Any]:
    """Ten calls of one series on a day; without a ``cost`` none has a price."""
    known = complexity is not None
    both = known and cost is not None
    return {
        **_key("cost", days, {**of, "task_type": task, "cohort": "production"}),
        "request_count": 10,
        "priced_count": 10 if cost else 0,
        "cost_usd": Decimal(cost) if cost else None,
        "task_complexity": Decimal(complexity) if complexity else None,
        "complexity_source": scale if known else "none",
        "complexity_scale": scale if known else "none",
        "complexity_samples": samples,
        "normalized_cost_usd": Decimal(cost) / Decimal(complexity) if both else None,
    }


def _key(kind: str, days: int, of: Mapping[str, str]) -> dict[str, Any]:
    return {"kind": kind, "day": ago(days), **of}
