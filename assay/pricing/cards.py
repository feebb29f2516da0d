"""The rate card: what one model costs one tenant at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Final

# Products of prices and factors, without rounding: 38 digits each.
EXACT: Final = Context(prec=96)

INPUT, CACHE_READ, CACHE_WRITE_5M = "input", "cache_read", "cache_write_5m"
CACHE_WRITE_1H, OUTPUT, REASONING = "cache_write_1h", "output", "reasoning"
TOKEN_CLASSES: Final = (INPUT, CACHE_READ, CACHE_WRITE_5M, CACHE_WRITE_1H, OUTPUT, REASONING)

# A class without a price of its own is charged as another: that is what a list without a discount says.
_CHARGED_AS: Final = {
    CACHE_READ: INPUT,
    CACHE_WRITE_5M: INPUT,
    CACHE_WRITE_1H: CACHE_WRITE_5M,
    REASONING: OUTPUT,
}
_SHORT_LIVED: Final = "no price for cache writes of 1 hour, charged at the price for 5 minutes"


@dataclass(frozen=True)
class Rate:
    """US dollars per million tokens, or per unit.

    ``base``, or the price of the highest step that the prompt's length exceeds. The whole call is charged
    at one step's price, as every provider with context-size tiers does.
    """

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...] = ()

    def times(self, factor: Decimal) -> Rate:
        """The same, at a discount."""
        return Rate(
            EXACT.multiply(self.base, factor),
            tuple((start, EXACT.multiply(price, factor)) for start, price in self.steps),
        )


@dataclass(frozen=True)
class Charge:
    """A rate, what decided it, and why it may not be all that was asked for (empty: it is)."""

    rate: Rate
    source: str
    note: str = ""


@dataclass(frozen=True)
class Card:
    """Prices that exist in their own right: of classes of tokens, of units, and of the call itself."""

    tokens: Mapping[str, Charge] = field(default_factory=dict)
    units: Mapping[str, Charge] = field(default_factory=dict)
    per_call: Charge | None = None

    def charged_as(self, token_class: str) -> str:
        """The class at whose price tokens of a class are charged: their own where it has one; empty: there
        is no price for them."""
        while token_class not in self.tokens:
            if token_class not in _CHARGED_AS:
                return ""
            token_class = _CHARGED_AS[token_class]
        return token_class

    def charge(self, token_class: str) -> Charge | None:
        """What tokens of a class are charged at; None where there is no price for them."""
        charged_as = self.charged_as(token_class)
        if not charged_as:
            return None
        found = self.tokens[charged_as]
        if token_class == CACHE_WRITE_1H and charged_as == CACHE_WRITE_5M:
            return Charge(found.rate, found.source, found.note or _SHORT_LIVED)
        return found

    @property
    def empty(self) -> bool:
        """Whether it has no price at all."""
        return not (self.tokens or self.units or self.per_call)
