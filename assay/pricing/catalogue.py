"""List prices: the rate card of a model at a moment, from the dated prices that ``genai-prices`` ships.

A look-up there costs 0.13 ms, so each distinct (provider, model, tier) is looked up once, and a card is
kept for each stretch of time in which its rates do not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

import genai_prices
import numpy as np
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

from assay.pricing.columns import Ints

SOURCE: Final = f"genai-prices {genai_prices.__version__}"

# How genai-prices names what Assay calls a pricing tier.
_CONTEXT: Final[dict[str, dict[str, str]]] = {
    "standard": {},
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
}
_EPOCH: Final = date(1970, 1, 1)
_SECONDS_PER_DAY: Final = 86_400


@dataclass(frozen=True)
class Rate:
    """US dollars per million tokens.

    ``base``, or the price of the highest step that the prompt's length exceeds. The whole call is charged
    at one step's price, as every provider with context-size tiers does.
    """

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...] = ()

    @property
    def prices(self) -> tuple[Decimal, ...]:
        """Every price that may apply."""
        return (self.base, *(price for _, price in self.steps))


@dataclass(frozen=True)
class Card:
    """What one model costs at one moment. None: no price for that class of tokens.

    Cache reads and writes without a price of their own are charged as plain input, and reasoning as
    output: that is what a list without a discount says.
    """

    input: Rate | None
    cache_read: Rate | None
    cache_write: Rate | None
    output: Rate | None
    reasoning: Rate | None
    per_thousand_calls: Decimal | None
    # Why the card is not all that was asked for; empty where it is.
    caveat: str
    source: str = SOURCE

    @property
    def empty(self) -> bool:
        """Whether it has no price for tokens or calls at all."""
        return self.input is None and self.output is None and self.per_thousand_calls is None


class Prices:
    """The dated cards of one (provider, model, tier); none where the list does not have the model."""

    def __init__(
        self, provider: str, found: tuple[types.Provider, types.ModelInfo] | None, tier: str, reason: str
    ) -> None:
        self.provider = provider or ("" if found is None else found[0].id)
        self.reason = reason
        self._found = found
        self._tier = tier
        self._cards: dict[tuple[int, int], Card] = {}
        constraints = [] if found is None else _constraints(found[1])
        self._days = np.unique(
            np.array(
                [
                    (c.start_date - _EPOCH).days
                    for c in constraints
                    if isinstance(c, types.StartDateConstraint)
                ],
                np.int64,
            )
        )
        # Off-peak prices change within the day.
        self._seconds = np.unique(
            np.array(
                [
                    (time.hour * 60 + time.minute) * 60 + time.second
                    for c in constraints
                    if isinstance(c, types.TimeOfDateConstraint)
                    for time in (c.start_time, c.end_time)
                ],
                np.int64,
            )
        )

    @property
    def known(self) -> bool:
        """Whether the list has the model."""
        return self._found is not None

    def stretches(self, timestamp_us: Ints) -> Ints:
        """A number per call; calls with the same number have the same card."""
        seconds = timestamp_us // 1_000_000
        day = np.searchsorted(self._days, seconds // _SECONDS_PER_DAY, side="right")
        if not len(self._seconds):
            return day.astype(np.int64)
        within = np.searchsorted(self._seconds, seconds % _SECONDS_PER_DAY, side="right")
        return day.astype(np.int64) * (len(self._seconds) + 1) + within

    def card(self, timestamp_us: int) -> Card:
        """The card at a moment.

        Raises:
            LookupError: the list does not have the model.
        """
        if self._found is None:
            raise LookupError(self.reason)
        stretch = self.stretches(np.array([timestamp_us], np.int64))
        key = (int(stretch[0]), len(self._seconds))
        if key not in self._cards:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=timestamp_us)
            self._cards[key] = _card(*self._found, self._tier, moment)
        return self._cards[key]


@lru_cache(maxsize=8192)
def prices(provider: str, response_model: str, model: str, tier: str) -> Prices:
    """The prices of a call: by the model that answered where the list has it, else by the one asked for.

    Args:
        provider: as the source named it; where empty, inferred from the model's name.
        response_model: may be empty.
        model: as asked for.
        tier: ``standard``, ``batch`` or ``priority``.
    """
    snapshot = get_snapshot()
    for name in (response_model, model):
        if not name:
            continue
        try:
            # As "litellm", the provider is inferred from the name's prefix, and else from the name.
            found = snapshot.find_provider_model(name, None, provider or "litellm", None)
        except LookupError:
            continue
        return Prices(provider, found, tier, "")
    return Prices(provider, None, tier, _reason(provider, model))


def _reason(provider: str, model: str) -> str:
    snapshot = get_snapshot()
    if provider:
        try:
            snapshot.find_provider(None, provider, None)
        except LookupError:
            return f"no price list of provider {provider}"
        return f"no price for model {model} of provider {provider}"
    return f"no price for model {model}"


def _constraints(
    model: types.ModelInfo,
) -> list[types.StartDateConstraint | types.TimeOfDateConstraint | None]:
    dated = [] if isinstance(model.prices, types.ModelPrice) else [price.constraint for price in model.prices]
    return [*dated, *(variant.constraint for variant in model.price_variants or ())]


def _card(provider: types.Provider, model: types.ModelInfo, tier: str, moment: datetime) -> Card:
    context = _CONTEXT[tier]
    # A model that another provider's list lends has that provider's standard prices only (as genai-prices
    # has it).
    own = any(model is candidate for candidate in provider.models)
    listed = model.get_prices(moment, context if own else None)
    priced = not context or (own and _has_variant(model, context, moment))
    tokens_in, tokens_out = _rate(listed.input_mtok), _rate(listed.output_mtok)
    return Card(
        input=tokens_in,
        cache_read=_rate(listed.cache_read_mtok) or tokens_in,
        cache_write=_rate(listed.cache_write_mtok) or tokens_in,
        output=tokens_out,
        reasoning=_rate(listed.output_reasoning_mtok) or tokens_out,
        per_thousand_calls=_flat(listed.requests_kcount),
        caveat="" if priced else f"no {tier} price for model {model.id}, charged at the standard price",
    )


def _has_variant(model: types.ModelInfo, context: dict[str, str], moment: datetime) -> bool:
    return any(
        all(context.get(key) == value for key, value in variant.when.items())
        and (variant.constraint is None or variant.constraint.active(moment))
        for variant in model.price_variants or ()
    )


def _rate(price: Decimal | types.TieredPrices | None) -> Rate | None:
    if price is None:
        return None
    if isinstance(price, types.TieredPrices):
        return Rate(price.base, tuple((tier.start, tier.price) for tier in price.tiers))
    return Rate(price)


def _flat(price: Decimal | types.TieredPrices | None) -> Decimal | None:
    return price.base if isinstance(price, types.TieredPrices) else price
