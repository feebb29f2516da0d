"""What the judge spends: metered per day, and stopped at the day's limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import numpy as np
import redis.asyncio

from assay.pricing.calls import price
from assay.pricing.columns import PICO_PER_USD, Calls, Labels
from evaluators.judge import Call

_KEPT: Final = timedelta(days=40)


class UnpricedJudgeError(ValueError):
    """The judge's model has no price, so that its limit could not be kept."""


class Spend:
    """The day's spending, counted in Redis so that it outlives the worker and is shared by several.

    The limit is looked at before each call, so that it is exceeded by no more than the calls under way.

    Args:
        client: of the server that keeps the count.
        limit: US dollars a day (UTC); None for no limit.
    """

    def __init__(self, client: redis.asyncio.Redis, limit: Decimal | None) -> None:
        self._client = client
        self._limit_pico = None if limit is None else int(limit * PICO_PER_USD)
        self._day = ""
        self._pico = 0

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may be spent today, as of the last count."""
        return self._day == _today() and self._limit_pico is not None and self._pico >= self._limit_pico

    @property
    def usd(self) -> Decimal:
        """Spent today, as of the last count."""
        return Decimal(self._pico if self._day == _today() else 0).scaleb(-12)

    async def refresh(self) -> None:
        """Read the day's count."""
        today = _today()
        found = await self._client.hget(_key(today), "pico_usd")
        self._day, self._pico = today, int(found or 0)

    async def add(self, call: Call) -> None:
        """Count a call. One without a price is counted as such: its cost is unknown, not zero."""
        today, cost = _today(), cost_pico(call)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.hincrby(_key(today), "pico_usd", cost or 0)
            pipe.hincrby(_key(today), "calls", 1)
            pipe.hincrby(_key(today), "unpriced_calls", int(cost is None))
            pipe.hincrby(_key(today), "prompt_tokens", call.prompt)
            pipe.hincrby(_key(today), "completion_tokens", call.completion)
            pipe.expire(_key(today), _KEPT)
            total, *_ = await pipe.execute()
        self._day, self._pico = today, int(total)


def cost_pico(call: Call) -> int | None:
    """Cost of a call in pico-dollars at the list price of its moment; None where there is none."""
    one = np.ones(1, np.int64)
    priced = price(
        Calls(
            provider=Labels.of(["anthropic"]),
            model=Labels.of([call.model]),
            response_model=Labels.of([call.response_model]),
            pricing_tier=Labels.of(["standard"]),
            timestamp_us=one * int(call.at.timestamp() * 1_000_000),
            prompt=one * call.prompt,
            completion=one * call.completion,
            cached=one * (call.cached or 0),
            cache_write=one * (call.cache_write or 0),
            reasoning=one * 0,
        )
    )
    return int(priced.cost_pico[0]) if priced.known[0] else None


def require_price(model: str, limit: Decimal | None) -> None:
    """See that a limit can be kept.

    Raises:
        UnpricedJudgeError: there is a limit, and no price for the model.
    """
    example = Call("", datetime.now(UTC), model, "", 1000, 100, None, None, 0.0, "")
    if limit is not None and cost_pico(example) is None:
        raise UnpricedJudgeError(
            f"ASSAY_JUDGE_MODEL={model!r} is not in the price list, so that ASSAY_JUDGE_DAILY_USD={limit} "
            "cannot be kept: choose a listed model, or set ASSAY_JUDGE_DAILY_USD=none"
        )


def _key(day: str) -> str:
    return f"assay:judge:spend:{day}"


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
