"""The cost of calls: exact, and one multiplication per class of tokens for a whole block."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from assay.pricing.cards import (
    CACHE_READ,
    CACHE_WRITE_1H,
    CACHE_WRITE_5M,
    EXACT,
    INPUT,
    OUTPUT,
    REASONING,
    Card,
    Charge,
    Rate,
)
from assay.pricing.columns import Bools, Calls, Ints, Labels, PricedColumns
from assay.pricing.table import LIST_PRICES, PriceTable, Quote

# The reason of a call whose model is in the list, without any price.
NO_PRICE: Final = "the price list has no price for the model"
_STATUSES = ["priced", "partial", "unpriced"]
_PRICED, _PARTIAL, _UNPRICED = range(3)
_MICRO = 10**6
# Dollars per million tokens to pico-dollars per token; dollars to pico-dollars.
_PICO_PER_TOKEN = Decimal(10**6)
_PICO = Decimal(10**12)
# Room for one more addition below 2**63.
_MOST = 2**62
# Which items a call used is a bit each; what is beyond shares the last.
_MOST_ITEMS = 48
# Reasons are stored with a dictionary: few and short.
_MOST_REASONS = 3


def price(calls: Calls, table: PriceTable = LIST_PRICES) -> PricedColumns:
    """What each call costs, at the prices of its moment.

    Cost = uncached input × input rate + cache reads × their rate + cache writes × theirs (5 minutes and 1
    hour apart) + output × output rate + units × the price of one (plus a price per call where the list has
    one), each at the context-size step of the call's whole prompt, rounded half to even to 1e-12 USD once,
    at the end.

    Args:
        calls: to be priced.
        table: list prices and what is laid over them.
    """
    result = _Result.of(len(calls))
    for rows, quote in _kinds(calls, table):
        result.providers.set(rows, quote.provider)
        stretches = quote.stretches(calls.timestamp_us[rows])
        for stretch in np.unique(stretches):
            same = rows[stretches == stretch]
            _charge(calls, same, quote.card(int(calls.timestamp_us[same[0]])), quote.reason, result)
    return result.columns()


def tokens_of(token_class: str) -> str:
    """A class of tokens in words, as reasons name it."""
    return f"{token_class.replace('_', '-')} tokens"


def lacking(what: str) -> str:
    """The reason of a call that used what has no price."""
    return f"no price for {what}"


def _kinds(calls: Calls, table: PriceTable) -> list[tuple[NDArray[np.intp], Quote]]:
    """The rows of each distinct (provider, response model, model, tier, tenants alike), with its prices."""
    if not len(calls):
        return []
    columns = (calls.provider, calls.response_model, calls.model, calls.pricing_tier)
    tenants = table.tenant_classes(calls.tenant, len(calls))
    combined = tenants
    for column in columns:
        # Renumbered after every step, so that four large dictionaries cannot overflow.
        combined = np.unique(combined * len(column.values) + column.codes, return_inverse=True)[1]
    order = np.argsort(combined, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(combined[order])) + 1)
    found = []
    for rows in groups:
        provider, response_model, model, tier = (column[int(rows[0])] for column in columns)
        found.append((rows, table.quote(provider, response_model, model, tier, int(tenants[rows[0]]))))
    return found


@dataclass(frozen=True)
class _Item:
    """One class of tokens or one unit: how many each call used (``per`` of a count is one), and at what."""

    name: str
    charge: Charge | None
    count: Ints
    pico: Decimal
    per: int = 1

    def prices(self) -> list[Decimal]:
        """Pico-dollars per count: the base, then the steps."""
        if self.charge is None:
            return []
        rate = self.charge.rate
        unit = EXACT.divide(self.pico, Decimal(self.per))
        return [EXACT.multiply(price, unit) for price in (rate.base, *(price for _, price in rate.steps))]


def _items(calls: Calls, rows: NDArray[np.intp], card: Card) -> list[_Item]:
    prompt, completion = calls.prompt[rows], calls.completion[rows]
    cached, written, reasoning = calls.cached[rows], calls.cache_write[rows], calls.reasoning[rows]
    hour = np.zeros(len(rows), np.int64) if calls.cache_write_1h is None else calls.cache_write_1h[rows]
    counts = {
        INPUT: prompt - cached - written,
        CACHE_READ: cached,
        CACHE_WRITE_5M: written - hour,
        CACHE_WRITE_1H: hour,
        OUTPUT: completion - reasoning,
        REASONING: reasoning,
    }
    items = [
        _Item(tokens_of(name), card.charge(name), count, _PICO_PER_TOKEN) for name, count in counts.items()
    ]
    if card.per_call is not None:
        items.append(_Item("calls", card.per_call, np.ones(len(rows), np.int64), _PICO))
    if calls.units is not None:
        for name, micro in calls.units.of_rows(rows):
            whole = not (micro % _MICRO).any()
            count, per = (micro // _MICRO, 1) if whole else (micro, _MICRO)
            items.append(_Item(f"unit {name}", card.units.get(name), count, _PICO, per))
    return items


def _charge(calls: Calls, rows: NDArray[np.intp], card: Card, unlisted: str, result: _Result) -> None:
    items = _items(calls, rows, card)
    priced = [(item, item.prices()) for item in items if item.charge is not None]
    factor = 10 ** max((_places(price) for _, prices in priced for price in prices), default=0)
    most = sum(int(item.count.max()) * max(prices) for item, prices in priced)
    kind: type = np.int64 if most * factor < _MOST else object
    prompt = calls.prompt[rows]
    total: NDArray[Any] = np.zeros(len(rows), kind)
    for item, prices in priced:
        assert item.charge is not None
        total += item.count.astype(kind) * _per_count(item.charge.rate, prices, prompt, factor, kind)
    cost = _rounded(total, factor)
    if kind is object:
        beyond = cost >= _MOST
        cost = np.where(beyond, 0, cost).astype(np.int64)
    else:
        beyond = np.zeros(len(rows), np.bool_)
    result.cost[rows] = cost
    used = np.zeros(len(rows), np.int64)
    for position, item in enumerate(items):
        used |= (item.count > 0).astype(np.int64) << min(position, _MOST_ITEMS)
    masks, of_row = np.unique(used, return_inverse=True)
    for number, mask in enumerate(masks.tolist()):
        _explain(rows[of_row == number], mask, items, card, unlisted, result)
    if beyond.any():
        result.unknown(
            rows[beyond], "more than 4.6 million US dollars for one call: check its tokens and units"
        )


def _explain(
    rows: NDArray[np.intp], mask: int, items: list[_Item], card: Card, unlisted: str, result: _Result
) -> None:
    """Status, reason and source of the rows that used the items of ``mask``."""
    used = [item for position, item in enumerate(items) if mask >> min(position, _MOST_ITEMS) & 1]
    charges = [item.charge for item in used if item.charge is not None]
    missing = [lacking(item.name) for item in used if item.charge is None]
    if card.empty:
        result.unknown(rows, unlisted or NO_PRICE)
        return
    if missing and not charges:
        result.unknown(rows, unlisted or missing[0])
        return
    # A call that used nothing costs nothing, by whatever has a price for its model.
    decided = charges or list((card.tokens or card.units).values())[:1]
    notes = list(dict.fromkeys(charge.note for charge in charges if charge.note))
    result.known[rows] = True
    result.status[rows] = _PARTIAL if missing or notes else _PRICED
    result.reasons.set(rows, "; ".join((missing + notes)[:_MOST_REASONS]))
    result.sources.set(rows, _sources(decided))


def _sources(charges: list[Charge]) -> str:
    """Each source once: list before overrides."""
    parts = dict.fromkeys(part for charge in charges for part in charge.source.split("; "))
    overrides = sorted(part.removeprefix("override ") for part in parts if part.startswith("override "))
    names = [part for part in parts if not part.startswith("override ")]
    return "; ".join(names + ([f"override {', '.join(overrides)}"] if overrides else []))


def _places(value: Decimal) -> int:
    exponent = EXACT.plus(value).normalize(EXACT).as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _per_count(rate: Rate, prices: list[Decimal], prompt: Ints, factor: int, kind: type) -> NDArray[Any]:
    base, *steps = (int(EXACT.multiply(price, Decimal(factor))) for price in prices)
    found: NDArray[Any] = np.full(len(prompt), base, kind)
    for (start, _), step in zip(rate.steps, steps, strict=True):
        found[prompt > start] = step
    return found


def _rounded(total: NDArray[Any], factor: int) -> NDArray[Any]:
    if factor == 1:
        return total
    quotient, rest = total // factor, total % factor
    up = (2 * rest > factor) | ((2 * rest == factor) & (quotient % 2 == 1))
    rounded: NDArray[Any] = quotient + up.astype(total.dtype)
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

    def unknown(self, rows: NDArray[np.intp], reason: str) -> None:
        """The rows have no price."""
        self.known[rows] = False
        self.status[rows] = _UNPRICED
        self.reasons.set(rows, reason)
        self.sources.set(rows, "")

    def columns(self) -> PricedColumns:
        return PricedColumns(
            self.cost,
            self.known,
            Labels(self.status.astype(np.int32), _STATUSES),
            self.reasons.labels(),
            self.sources.labels(),
            self.providers.labels(),
        )
