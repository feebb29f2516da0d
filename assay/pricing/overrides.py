"""Prices beside the list: negotiated prices, discounts, units, models of one's own.

Which row decides. Of the rows that hold for a call at its moment (``valid_from <= moment < valid_to``), for
each class of tokens and each unit, the most specific one: compared by tenant, then model, then provider, then
pricing tier, then class of tokens. An exact name is more specific than a pattern, a pattern with more letters
than one with fewer, and any pattern than none. Rows alike in all of that: the latest ``valid_from``, then the
latest ``noted_at``.

A price stands in the place of the list's. A discount factor is of the list price: of the standard one where
its row names a pricing tier (a row ``batch`` × 0.5 says what batch means), else of the one of the call's
tier. Discounts do not add up: one row decides.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Final

from assay.pricing.cards import TOKEN_CLASSES

TIERS: Final = ("standard", "batch", "priority", "provisioned")
# Ten million dollars per million tokens: more is a slip of the unit, and would not fit the arithmetic.
_MOST_USD: Final = Decimal(10**7)
_MOST_FACTOR: Final = Decimal(1_000)
_PLACES: Final = 12
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,255}$")
_EXACT, _PATTERN, _ANY = 2, 1, 0

Specificity = tuple[int, int]


class OverrideError(ValueError):
    """A price that cannot be; the message names the field and what it should be."""


@dataclass(frozen=True, kw_only=True)
class Override:
    """One row of the price table.

    Attributes:
        provider, model, tenant_id: exact, or a pattern with ``*`` and ``?``; empty: any.
        pricing_tier: one of ``TIERS``; empty: any.
        token_class: one of ``TOKEN_CLASSES``, or the name of a unit; empty: every class of tokens that the
            list prices.
        price_usd: US dollars per million tokens, or per unit.
        discount_factor: instead of a price, what the list price is multiplied by.
        valid_from: the first moment at which it holds.
        valid_to: the first at which it does not any more; equal to ``valid_from``, it never holds: so a row
            is withdrawn.
        source: where the price is from: contract, page, invoice.
        noted_at: when the row was written down.

    Raises:
        OverrideError: what the row says cannot be.
    """

    source: str
    valid_from: datetime
    provider: str = ""
    model: str = ""
    tenant_id: str = ""
    pricing_tier: str = ""
    token_class: str = ""
    price_usd: Decimal | None = None
    discount_factor: Decimal | None = None
    valid_to: datetime | None = None
    noted_at: datetime = EPOCH

    def __post_init__(self) -> None:
        if self.pricing_tier and self.pricing_tier not in TIERS:
            raise OverrideError(f"pricing_tier = {self.pricing_tier!r}: one of {', '.join(TIERS)}, or empty")
        if (self.price_usd is None) == (self.discount_factor is None):
            raise OverrideError("one of price_usd and discount_factor is needed, and not both")
        if self.token_class not in ("", *TOKEN_CLASSES):
            if not _UNIT.match(self.token_class):
                raise OverrideError(
                    f"token_class = {self.token_class!r}: one of {', '.join(TOKEN_CLASSES)}, or a unit's name"
                )
            if self.discount_factor is not None:
                raise OverrideError(
                    f"discount_factor of unit {self.token_class}: a unit needs a price (price_usd)"
                )
        if not self.token_class and self.price_usd is not None:
            raise OverrideError("token_class is needed with price_usd: a price is that of one class")
        _check("price_usd", self.price_usd, _MOST_USD)
        _check("discount_factor", self.discount_factor, _MOST_FACTOR)
        for name, moment in (("valid_from", self.valid_from), ("valid_to", self.valid_to)):
            if moment is not None and moment.tzinfo is None:
                raise OverrideError(f"{name} = {moment.isoformat()}: give it a UTC offset")
        if self.valid_to is not None and self.valid_to < self.valid_from:
            raise OverrideError(f"valid_to = {self.valid_to.isoformat()} is before valid_from")
        if not self.source.strip():
            raise OverrideError("source is needed: where the price is from")

    @cached_property
    def key(self) -> tuple[str, str, str, str, str, datetime]:
        """What the row speaks of: of rows with the same key the one noted last counts."""
        return (
            *(self.provider, self.model, self.tenant_id, self.pricing_tier, self.token_class),
            self.valid_from.astimezone(UTC),
        )

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits of what the row says: ``price_source`` of a call names it."""
        parts = (*self.key, _plain(self.price_usd), _plain(self.discount_factor), self.valid_to, self.source)
        return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:8]

    @cached_property
    def precedence(self) -> tuple[Specificity, Specificity, Specificity, bool, bool, datetime, datetime]:
        """Of two rows that hold, the one with the greater decides."""
        return (
            specificity(self.tenant_id),
            specificity(self.model),
            specificity(self.provider),
            bool(self.pricing_tier),
            bool(self.token_class),
            self.valid_from,
            self.noted_at,
        )


def specificity(pattern: str) -> Specificity:
    """How much a pattern says: exact names before patterns, and of these the one with more letters."""
    letters = len(pattern.replace("*", "").replace("?", ""))
    if letters == len(pattern) and pattern:
        return _EXACT, 0
    return (_PATTERN, letters) if pattern.strip("*") else (_ANY, 0)


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern stands for a name."""
    if not pattern.strip("*"):
        return True
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    letters = {"*": ".*", "?": "."}
    return re.fullmatch("".join(letters.get(c) or re.escape(c) for c in pattern), name, re.DOTALL) is not None


def in_force(rows: Iterable[Override]) -> tuple[Override, ...]:
    """The rows without those that later ones with the same key replace, the most specific first."""
    latest: dict[object, Override] = {}
    for row in sorted(rows, key=lambda row: row.noted_at):
        latest[row.key] = row
    return tuple(sorted(latest.values(), key=lambda row: (row.precedence, row.id), reverse=True))


def _check(name: str, value: Decimal | None, most: Decimal) -> None:
    if value is None:
        return
    if not (value.is_finite() and 0 <= value <= most):
        raise OverrideError(f"{name} = {value}: a finite number from 0 to {most}")
    if round(value, _PLACES) != value:
        raise OverrideError(f"{name} = {value}: at most {_PLACES} decimal places are kept")


def _plain(value: Decimal | None) -> str:
    """The same for equal numbers, however they are written."""
    return "" if value is None else f"{value.normalize():f}"
