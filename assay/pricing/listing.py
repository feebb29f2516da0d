"""List prices of what is called, noted in the store for what is computed there. Nothing is priced by them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from assay.pricing import catalogue
from assay.pricing.cards import TOKEN_CLASSES, Rate
from assay.pricing.providers import stored_name

_TABLE: Final = "list_prices"
_CALLS: Final = "llm_spend_15min"
_COLUMNS: Final = (
    *("provider", "model", "response_model", "pricing_tier", "token_class", "above_tokens"),
    *("price_usd", "valid_from", "source", "noted_at"),
)
# What was called since is looked for; what was loaded with older times, when a process begins.
_BACK: Final = timedelta(days=2)


class Kind(NamedTuple):
    """Calls that have the same list prices."""

    provider: str
    model: str
    response_model: str
    pricing_tier: str


class Listing:
    """Notes each kind of calls once, and again when a process with another price list begins."""

    def __init__(self) -> None:
        self._noted: set[Kind] | None = None

    def note(self, client: Client) -> int:
        """Note the kinds that are new; how many there were.

        Raises:
            ClickHouseError: the store refused, or is not there.
        """
        now = datetime.now(UTC)
        if not client.query(
            "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
            parameters={"name": _CALLS},
        ).result_rows:
            return 0
        since = datetime(1970, 1, 1, tzinfo=UTC) if self._noted is None else now - _BACK
        noted = _noted(client) if self._noted is None else self._noted
        found = client.query(
            f"SELECT DISTINCT provider, model, response_model, pricing_tier FROM {_CALLS} "
            "WHERE is_priced AND period_start >= {since:DateTime('UTC')}",
            parameters={"since": since},
        ).result_rows
        # Calls from before providers had one name have the list's, or their sender's: as they are read.
        kinds = {Kind(stored_name(provider), *rest) for provider, *rest in found} - noted
        rows = [[*kind, *price, catalogue.SOURCE, now] for kind in sorted(kinds) for price in _prices(kind)]
        if rows:
            client.insert(_TABLE, rows, column_names=_COLUMNS)
        # At last: what was not asked or not noted is, the next time.
        self._noted = noted | kinds
        return len(kinds)


def _noted(client: Client) -> set[Kind]:
    """What is noted, the last time by the price list of this process."""
    found = client.query(
        f"SELECT provider, model, response_model, pricing_tier FROM {_TABLE} "
        "GROUP BY provider, model, response_model, pricing_tier "
        "HAVING argMax(source, noted_at) = {source:String}",
        parameters={"source": catalogue.SOURCE},
    ).result_rows
    return {Kind(*row) for row in found}


def _prices(kind: Kind) -> Iterator[tuple[object, ...]]:
    """Class, length of prompt that is exceeded, price and first day of each price of the kind."""
    listed = catalogue.prices(kind.provider, kind.response_model, kind.model, kind.pricing_tier)
    held: dict[str, Rate] = {}
    for moment in listed.days:
        card = listed.card((moment - catalogue.EPOCH) // timedelta(microseconds=1))
        for name in TOKEN_CLASSES:
            charge = card.charge(name)
            # Not every first day is one of this class: the price may be that of the days before.
            if charge is None or charge.rate == held.get(name):
                continue
            held[name] = charge.rate
            for above, price in ((0, charge.rate.base), *charge.rate.steps):
                yield name, above, price, moment.date()
