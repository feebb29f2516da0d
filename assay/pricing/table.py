"""The price table: list prices with the overrides laid over them, looked up once per kind of call."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from assay.pricing import catalogue, providers
from assay.pricing.cards import TOKEN_CLASSES, Card, Charge, Rate
from assay.pricing.columns import Ints, Labels
from assay.pricing.overrides import EPOCH, Override, in_force, matches

_MICROSECOND: Final = timedelta(microseconds=1)
# Distinct tenants whose patterns are remembered; a tenant costs microseconds to look at again.
_MOST_TENANTS: Final = 100_000


class PriceTable:
    """List prices and overrides. Immutable, and cheap to ask again.

    Args:
        rows: overrides as they were noted; later ones replace earlier ones with the same key.
    """

    def __init__(self, rows: Iterable[Override] = ()) -> None:
        self.rows = in_force(rows)
        said = "\x1e".join(f"{row.id} {row.noted_at.isoformat()}" for row in self.rows)
        self.version: Final = hashlib.sha256(said.encode()).hexdigest()[:16]
        self._patterns = sorted({row.tenant_id for row in self.rows if row.tenant_id.strip("*")})
        self._classes: dict[frozenset[str], int] = {frozenset(): 0}
        self._patterns_of: list[frozenset[str]] = [frozenset()]
        self._tenants: dict[str, int] = {}
        self._quote = lru_cache(maxsize=8192)(self._make)

    def tenant_classes(self, tenants: Labels | None, length: int) -> NDArray[np.int64]:
        """A number per call; tenants with the same number have the same prices."""
        if tenants is None or not self._patterns:
            return np.zeros(length, np.int64)
        return np.array([self._class(tenant) for tenant in tenants.values], np.int64)[tenants.codes]

    def quote(self, provider: str, response_model: str, model: str, tier: str, tenant_class: int) -> Quote:
        """The prices of one kind of call."""
        return self._quote(provider, response_model, model, tier, tenant_class)

    def _class(self, tenant: str) -> int:
        found = self._tenants.get(tenant)
        if found is None:
            if len(self._tenants) >= _MOST_TENANTS:
                self._tenants.clear()
            patterns = frozenset(pattern for pattern in self._patterns if matches(pattern, tenant))
            found = self._classes.setdefault(patterns, len(self._classes))
            if found == len(self._patterns_of):
                self._patterns_of.append(patterns)
            self._tenants[tenant] = found
        return found

    def _make(self, provider: str, response_model: str, model: str, tier: str, tenant_class: int) -> Quote:
        listed = catalogue.prices(provider, response_model, model, tier)
        list_provider, list_model = listed.names
        # By the model that answered, as the list is asked; where the list knows neither, by either name.
        models = {listed.name, list_model} if listed.known else {response_model, model}
        whose = {name.lower() for name in providers.all_names(provider) | {list_provider}} - {""} or {""}
        patterns = self._patterns_of[tenant_class]
        rows = [
            row
            for row in self.rows
            if (not row.tenant_id.strip("*") or row.tenant_id in patterns)
            and row.pricing_tier in ("", tier)
            and any(matches(row.model, name) for name in models)
            and any(matches(row.provider.lower(), name) for name in whose)
        ]
        standard = catalogue.prices(provider, response_model, model, "standard")
        return Quote(listed, standard, rows)


class Quote:
    """The dated cards of one kind of call.

    Args:
        listed: list prices of the call's tier.
        standard: list prices of the standard tier.
        rows: overrides that match but for time, the most specific first.
    """

    def __init__(self, listed: catalogue.Prices, standard: catalogue.Prices, rows: list[Override]) -> None:
        self._listed = listed
        self._standard = standard
        self._rows = rows
        moments = [m for row in rows for m in (row.valid_from, row.valid_to) if m is not None]
        self._turns = np.unique(np.array([_microseconds(moment) for moment in moments], np.int64))
        self._cards: dict[int, Card] = {}

    @property
    def provider(self) -> str:
        """As it is stored; where the call names none, the one that the list infers."""
        return self._listed.provider

    @property
    def reason(self) -> str:
        """Why the list has no price; empty where it has."""
        return self._listed.reason

    @property
    def listed_as(self) -> tuple[str, str]:
        """Provider and model as the list calls them; empty where it does not have them."""
        return self._listed.names

    def listed_since(self, name: str, timestamp_us: int) -> date | None:
        """The first day of the list price that a class or a unit has at a moment; None where the list has no
        other before it."""
        return self._listed.since(name, timestamp_us)

    def stretches(self, timestamp_us: Ints) -> Ints:
        """A number per call; calls with the same number have the same card."""
        listed = self._listed.stretches(timestamp_us)
        standard = self._standard.stretches(timestamp_us)
        turn = np.searchsorted(self._turns, timestamp_us, side="right").astype(np.int64)
        return (listed * self._standard.count + standard) * (len(self._turns) + 1) + turn

    def card(self, timestamp_us: int) -> Card:
        """The card at a moment; empty where there is no price at all."""
        stretch = int(self.stretches(np.array([timestamp_us], np.int64))[0])
        if stretch not in self._cards:
            self._cards[stretch] = self._lay_over(timestamp_us)
        return self._cards[stretch]

    def _lay_over(self, timestamp_us: int) -> Card:
        moment = EPOCH + timedelta(microseconds=timestamp_us)
        listed = self._listed.card(timestamp_us)
        standard = self._standard.card(timestamp_us)
        tokens, units = dict(listed.tokens), dict(listed.units)
        decided: set[str] = set()
        for row in self._rows:
            if row.valid_from > moment or (row.valid_to is not None and row.valid_to <= moment):
                continue
            # Without a class, a discount is of what the list prices; the rest follows what it is charged as.
            for name in (row.token_class,) if row.token_class else (*listed.tokens, *standard.tokens):
                if name in decided:
                    continue
                charge = _charge(row, name, standard if row.pricing_tier else listed)
                if charge is None:
                    continue
                decided.add(name)
                (tokens if name in TOKEN_CLASSES else units)[name] = charge
        return Card(tokens, units, listed.per_call)


def _charge(row: Override, name: str, listed: Card) -> Charge | None:
    """What a row makes of a class or unit; None for a discount of what the list does not price."""
    source = f"override {row.id}"
    if row.price_usd is not None:
        return Charge(Rate(row.price_usd), source)
    assert row.discount_factor is not None
    charge = listed.charge(name)
    if charge is None:
        return None
    return Charge(charge.rate.times(row.discount_factor), f"{charge.source}; {source}", charge.note)


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


LIST_PRICES: Final = PriceTable()
