"""Which prices a call has, and why these: the card by which the writers charge it, told class by class."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from assay.pricing.calls import NO_PRICE, lacking, tokens_of
from assay.pricing.cards import TOKEN_CLASSES, Charge, Rate
from assay.pricing.columns import Labels
from assay.pricing.overrides import EPOCH, Override
from assay.pricing.table import PriceTable

PER_CALL: Final = "call"
_OVERRIDE: Final = "override "


@dataclass(frozen=True)
class Applied:
    """The price of a class of tokens, of a unit, or of the call itself.

    Attributes:
        name: one of ``TOKEN_CLASSES``, a unit's name, or ``call``.
        rate: US dollars per million tokens, or for one; None: there is no price, and ``reason`` says why.
        charged_as: the class whose price it is, where it has none of its own; else empty.
        listed: the price list, with its version, where it had a part in this; else empty.
        listed_since: first day of a list price that stands as it is; None: the list has no other before it.
        override: the row that decided; None: the list alone.
        note: why the price may not be all that was asked for; a call that uses it is ``partial``.
    """

    name: str
    rate: Rate | None
    charged_as: str = ""
    listed: str = ""
    listed_since: date | None = None
    override: Override | None = None
    note: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Answer:
    """The prices of a kind of call at a moment.

    Attributes:
        provider: as it is stored: the given one, or the one that the list infers; may be empty.
        listed_as: provider and model as the list calls them; empty where it does not have them.
        prices: every class of tokens, then units and the price of the call, where there are any.
        reason: why a call has no price at all; empty where it has one.
    """

    provider: str
    listed_as: tuple[str, str]
    prices: list[Applied]
    reason: str


def applied(table: PriceTable, model: str, *, provider: str, tenant: str, tier: str, at: datetime) -> Answer:
    """The prices of a call.

    Args:
        table: that holds.
        model: that answered.
        provider: any of its names; empty: as the model's name tells.
        tenant: whose call; empty: nobody's in particular.
        tier: one of ``TIERS``.
        at: when it was made.
    """
    (tenant_class,) = table.tenant_classes(Labels.of([tenant]), 1).tolist()
    quote = table.quote(provider, "", model, tier, tenant_class)
    timestamp_us = (at - EPOCH) // timedelta(microseconds=1)
    card = quote.card(timestamp_us)
    rows = {row.id: row for row in table.rows}

    def told(name: str, charge: Charge | None, charged_as: str = "") -> Applied:
        if charge is None:
            return Applied(name, None, reason=quote.reason or lacking(tokens_of(name)))
        sources = charge.source.split("; ")
        listed = "".join(source for source in sources if not source.startswith(_OVERRIDE))
        ids = [source.removeprefix(_OVERRIDE) for source in sources if source.startswith(_OVERRIDE)]
        return Applied(
            name,
            charge.rate,
            charged_as,
            listed,
            None if ids or name == PER_CALL else quote.listed_since(name, timestamp_us),
            rows[ids[0]] if ids else None,
            charge.note,
        )

    prices = []
    for name in TOKEN_CLASSES:
        charged_as = card.charged_as(name)
        prices.append(told(name, card.charge(name), "" if charged_as == name else charged_as))
    prices += [told(name, charge) for name, charge in sorted(card.units.items())]
    if card.per_call is not None:
        prices.append(told(PER_CALL, card.per_call))
    return Answer(quote.provider, quote.listed_as, prices, (quote.reason or NO_PRICE) if card.empty else "")
