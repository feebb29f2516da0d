"""List prices: the rate card of a model at a moment, from the dated prices that ``genai-prices`` ships.

A look-up there costs 0.13 ms, so each distinct (provider, model, tier) is looked up once, and a card is
kept for each stretch of time in which its rates do not change.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

import genai_prices
import numpy as np
from genai_prices import types
from genai_prices.data_snapshot import DataSnapshot, get_snapshot

from assay.pricing import providers
from assay.pricing.cards import EXACT, Card, Charge, Rate
from assay.pricing.columns import Ints

SOURCE: Final = f"genai-prices {genai_prices.__version__}"

# Assay's names of what the list prices.
_TOKENS: Final = {
    "input": "input_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
}
_UNITS: Final = {
    "audio_second": (("input_audio_hours", 3_600), ("audio_hours", 3_600)),
    "web_search": (("web_searches_kcount", 1_000),),
}
# Of a price per second that an hourly price does not divide into.
_UNIT_PLACES: Final = Decimal("1e-12")

# How genai-prices names what Assay calls a pricing tier.
_CONTEXT: Final[dict[str, dict[str, str]]] = {
    "standard": {},
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
    # What the same call would cost without the capacity; what the capacity costs is a contract's.
    "provisioned": {},
}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_PER_DAY: Final = 86_400
_DAY_US: Final = _SECONDS_PER_DAY * 1_000_000


class Prices:
    """The dated cards of one (provider, model, tier); none where the list does not have the model."""

    def __init__(
        self,
        provider: str,
        found: tuple[types.Provider, types.ModelInfo] | None,
        tier: str,
        reason: str = "",
        name: str = "",
    ) -> None:
        self._name = name
        # One name for each provider: invoices and contracts are matched by it.
        self.provider = providers.stored_name(provider or ("" if found is None else found[0].id))
        self.reason = reason
        self._found = found
        self._tier = tier
        self._cards: dict[tuple[int, int], Card] = {}
        constraints = [] if found is None else _constraints(found[1])
        self._days = np.unique(
            np.array(
                [
                    (c.start_date - EPOCH.date()).days
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

    @property
    def names(self) -> tuple[str, str]:
        """Provider and model as the list calls them; empty where it does not have them."""
        return ("", "") if self._found is None else (self._found[0].id, self._found[1].id)

    @property
    def name(self) -> str:
        """The name under which the list has the model: of those that were asked for, the first it has."""
        return self._name

    @property
    def count(self) -> int:
        """How many stretches there are."""
        return (len(self._days) + 1) * (len(self._seconds) + 1)

    @property
    def days(self) -> list[datetime]:
        """Noon of each first day of prices that hold for days, the earliest known first."""
        return [EPOCH + timedelta(days=day, hours=12) for day in (0, *self._days.tolist())]

    def stretches(self, timestamp_us: Ints) -> Ints:
        """A number per call; calls with the same number have the same card."""
        seconds = timestamp_us // 1_000_000
        day = np.searchsorted(self._days, seconds // _SECONDS_PER_DAY, side="right")
        if not len(self._seconds):
            return day.astype(np.int64)
        within = np.searchsorted(self._seconds, seconds % _SECONDS_PER_DAY, side="right")
        return day.astype(np.int64) * (len(self._seconds) + 1) + within

    def card(self, timestamp_us: int) -> Card:
        """The card at a moment; an empty one where the list does not have the model."""
        if self._found is None:
            return Card()
        stretch = self.stretches(np.array([timestamp_us], np.int64))
        key = (int(stretch[0]), len(self._seconds))
        if key not in self._cards:
            moment = EPOCH + timedelta(microseconds=timestamp_us)
            self._cards[key] = _card(*self._found, self._tier, moment)
        return self._cards[key]

    def since(self, name: str, timestamp_us: int) -> date | None:
        """The first day of the price that a class or a unit has at a moment, at this time of the day; None
        where the list has no other before it."""
        rate = self._rate_at(name, timestamp_us)
        within = timestamp_us % _DAY_US
        for day in reversed(self._days.tolist()):
            begins = day * _DAY_US + within
            if begins <= timestamp_us and self._rate_at(name, begins - _DAY_US) != rate:
                return EPOCH.date() + timedelta(days=day)
        return None

    def _rate_at(self, name: str, timestamp_us: int) -> Rate | None:
        card = self.card(timestamp_us)
        found = card.charge(name) or card.units.get(name)
        return None if found is None else found.rate


@lru_cache(maxsize=8192)
def prices(provider: str, response_model: str, model: str, tier: str) -> Prices:
    """The prices of a call: by the model that answered where the list has it, else by the one asked for.

    Args:
        provider: as the source named it; where empty, inferred from the model's name.
        response_model: may be empty.
        model: as asked for.
        tier: ``standard``, ``batch``, ``priority`` or ``provisioned``.
    """
    snapshot = get_snapshot()
    listed = providers.listed_name(provider)
    # Nobody's prices are those of a provider that the list does not have.
    if listed != "":
        for name in filter(None, (response_model, model)):
            found = _found(snapshot, provider if listed is None else listed, name)
            if found is not None:
                return Prices(provider, found, tier, name=name)
    return Prices(provider, None, tier, reason=_reason(provider, listed, model))


def _found(
    snapshot: DataSnapshot, provider: str, model: str
) -> tuple[types.Provider, types.ModelInfo] | None:
    for name in providers.model_names(provider, model) if provider else (model,):
        try:
            # As "litellm", the provider is inferred from the name's prefix, and else from the name.
            return snapshot.find_provider_model(name, None, provider or "litellm", None)
        except LookupError:
            continue
    return _undated(snapshot, model) if provider == "aws" else None


def _undated(snapshot: DataSnapshot, model: str) -> tuple[types.Provider, types.ModelInfo] | None:
    """A Bedrock model by a name without its date, where all that it may stand for have the same prices."""
    provider = snapshot.find_provider(None, "aws", None)
    name = providers.bedrock_name(model)
    candidates = [found for found in provider.models if providers.is_dated(found.id, name)]
    same = candidates and all(found.prices == candidates[0].prices for found in candidates)
    return (provider, candidates[0]) if same else None


def _reason(provider: str, listed: str | None, model: str) -> str:
    if not provider:
        return f"no price for model {model}"
    if listed is None:
        try:
            get_snapshot().find_provider(None, provider, None)
        except LookupError:
            listed = ""
    if listed == "":
        return f"no price list of provider {provider}"
    hidden = ", an inference profile that does not say which" if providers.is_opaque(model) else ""
    return f"no price for model {model} of provider {provider}{hidden}"


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
    note = "" if priced else f"no {tier} price for model {model.id}, charged at the standard price"
    return Card(
        tokens={
            name: Charge(rate, SOURCE, note)
            for name, key in _TOKENS.items()
            if (rate := _rate(getattr(listed, key))) is not None
        },
        units={
            name: Charge(Rate(found), SOURCE, note)
            for name, keys in _UNITS.items()
            if (found := _per_unit(listed, keys)) is not None
        },
        per_call=_per_unit_charge(listed, note),
    )


def _per_unit(listed: types.ModelPrice, keys: tuple[tuple[str, int], ...]) -> Decimal | None:
    """The price of one, from the price of so many."""
    for key, many in keys:
        price = _flat(getattr(listed, key))
        if price is not None:
            return EXACT.divide(price, Decimal(many)).quantize(_UNIT_PLACES)
    return None


def _per_unit_charge(listed: types.ModelPrice, note: str) -> Charge | None:
    price = _flat(listed.requests_kcount)
    return None if price is None else Charge(Rate(EXACT.divide(price, Decimal(1_000))), SOURCE, note)


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
