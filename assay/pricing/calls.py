"""The cost of calls: exact, and one multiplication per class of tokens for a whole block."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.pricing.catalogue import Card, Prices, Rate, prices
from assay.pricing.columns import Bools, Calls, Ints, Labels, PricedColumns

_STATUSES = ["priced", "partial", "unpriced"]
_PRICED, _PARTIAL, _UNPRICED = range(3)
# Token counts are UInt32, in the prompt and in the completion.
_MOST_TOKENS = 2**32
# Dollars per million tokens to pico-dollars per token.
_PICO_PER_TOKEN = Decimal(10**6)
_PICO_PER_THOUSAND_CALLS = Decimal(10**9)


def price(calls: Calls) -> PricedColumns:
    """What each call costs, at the list price of its moment.

    Cost = uncached input × input rate + cache reads × their rate + cache writes × theirs + output × output
    rate (plus a price per call where the list has one), each at the context-size step of the call's whole
    prompt, rounded half to even to 1e-12 USD once, at the end.
    """
    result = _Result.of(len(calls))
    for rows, found in _models(calls):
        result.providers.set(rows, found.provider)
        if not found.known:
            result.reasons.set(rows, found.reason)
            continue
        stretches = found.stretches(calls.timestamp_us[rows])
        for stretch in np.unique(stretches):
            same = rows[stretches == stretch]
            _charge(calls, same, found.card(int(calls.timestamp_us[same[0]])), result)
    _mark_units(calls, result)
    return result.columns()


def _models(calls: Calls) -> list[tuple[NDArray[np.intp], Prices]]:
    """The rows of each distinct (provider, response model, model, tier), with its prices."""
    if not len(calls):
        return []
    columns = (calls.provider, calls.response_model, calls.model, calls.pricing_tier)
    combined = np.zeros(len(calls), np.int64)
    for column in columns:
        # Renumbered after every step, so that four large dictionaries cannot overflow.
        combined = np.unique(combined * len(column.values) + column.codes, return_inverse=True)[1]
    order = np.argsort(combined, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(combined[order])) + 1)
    return [(rows, prices(*(column[int(rows[0])] for column in columns))) for rows in groups]


def _charge(calls: Calls, rows: NDArray[np.intp], card: Card, result: _Result) -> None:
    prompt, completion = calls.prompt[rows], calls.completion[rows]
    cached, written, reasoning = calls.cached[rows], calls.cache_write[rows], calls.reasoning[rows]
    classes = (
        ("input", card.input, prompt - cached - written),
        ("cache-read", card.cache_read, cached),
        ("cache-write", card.cache_write, written),
        ("output", card.output, completion - reasoning),
        ("reasoning", card.reasoning, reasoning),
    )
    if card.empty:
        result.reasons.set(rows, "the price list has no price per token for the model")
        return
    scale = _scale(card)
    total: NDArray[Any] = np.full(
        len(rows),
        _scaled(card.per_thousand_calls or Decimal(0), _PICO_PER_THOUSAND_CALLS, scale.factor),
        scale.dtype,
    )
    charged = np.full(len(rows), card.per_thousand_calls is not None)
    missing: list[tuple[str, Bools]] = []
    for name, rate, count in classes:
        used = count > 0
        if rate is None:
            missing.append((name, used))
            continue
        charged |= used
        total += count.astype(scale.dtype) * _per_token(rate, prompt, scale)
    nothing = ~charged & np.any([used for _, used in missing] or [np.zeros(len(rows), bool)], axis=0)
    status = np.full(len(rows), _PARTIAL if card.caveat else _PRICED, np.int8)
    reason = np.full(len(rows), result.reasons.code(card.caveat), np.int32)
    for name, used in missing:
        status[used] = _PARTIAL
        reason[used] = result.reasons.code(f"no price for {name} tokens")
    status[nothing] = _UNPRICED
    result.status[rows] = status
    result.reasons.codes[rows] = reason
    result.known[rows] = ~nothing
    result.cost[rows] = _rounded(total, scale.factor)
    result.sources.set(rows[~nothing], card.source)


def _mark_units(calls: Calls, result: _Result) -> None:
    """What is not billed by token has no list price here: the rest of the call's cost is known."""
    rows = np.flatnonzero(calls.has_units & (result.status == _PRICED))
    result.status[rows] = _PARTIAL
    result.reasons.set(rows, "no price for units")


@dataclass(frozen=True)
class _Scale:
    """Rates are whole numbers of pico-dollars / ``factor``.

    ``factor`` is 1 and the arithmetic int64 for nearly every model; a few lists carry prices with sixteen
    digits, whose models are computed in Python integers.
    """

    factor: int
    dtype: type


def _scale(card: Card) -> _Scale:
    rates = [r for r in (card.input, card.cache_read, card.cache_write, card.output, card.reasoning) if r]
    per_token = [price * _PICO_PER_TOKEN for rate in rates for price in rate.prices]
    per_call = (card.per_thousand_calls or Decimal(0)) * _PICO_PER_THOUSAND_CALLS
    places = max((_places(price) for price in (*per_token, per_call)), default=0)
    largest = max(per_token, default=Decimal(0)) * _MOST_TOKENS * 2 + per_call
    exact = places == 0 and largest < 2**63
    return _Scale(10**places, np.int64 if exact else object)


def _places(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _scaled(value: Decimal, unit: Decimal, factor: int) -> int:
    return int(value * unit * factor)


def _per_token(rate: Rate, prompt: Ints, scale: _Scale) -> NDArray[Any]:
    base, *steps = (_scaled(price, _PICO_PER_TOKEN, scale.factor) for price in rate.prices)
    found: NDArray[Any] = np.full(len(prompt), base, scale.dtype)
    for (start, _), step in zip(rate.steps, steps, strict=True):
        found[prompt > start] = step
    return found


def _rounded(total: NDArray[Any], factor: int) -> Ints:
    if factor == 1:
        return total.astype(np.int64)
    quotient, rest = total // factor, total % factor
    up = (2 * rest > factor) | ((2 * rest == factor) & (quotient % 2 == 1))
    rounded: Ints = (quotient + up.astype(object)).astype(np.int64)
    return rounded


@dataclass
class _Builder:
    """A column of few distinct strings while it is filled."""

    codes: NDArray[np.int32]
    values: dict[str, int] = field(default_factory=lambda: {"": 0})

    def code(self, value: str) -> int:
        return self.values.setdefault(value, len(self.values))

    def set(self, rows: NDArray[np.intp], value: str) -> None:
        self.codes[rows] = self.code(value)

    def labels(self) -> Labels:
        return Labels(self.codes, list(self.values))


@dataclass
class _Result:
    cost: Ints
    known: Bools
    status: NDArray[np.int8]
    reasons: _Builder
    sources: _Builder
    providers: _Builder

    @classmethod
    def of(cls, length: int) -> _Result:
        return cls(
            np.zeros(length, np.int64),
            np.zeros(length, np.bool_),
            np.full(length, _UNPRICED, np.int8),
            *(_Builder(np.zeros(length, np.int32)) for _ in range(3)),
        )

    def columns(self) -> PricedColumns:
        return PricedColumns(
            self.cost,
            self.known,
            Labels(self.status.astype(np.int32), _STATUSES),
            self.reasons.labels(),
            self.sources.labels(),
            self.providers.labels(),
        )
