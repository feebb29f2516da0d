"""The price table's rows in the store: those that were committed (a dbt seed) and those added at run time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from clickhouse_connect.driver.client import Client

from assay.pricing.overrides import Override, OverrideError
from assay.pricing.table import PriceTable

# Both kinds of rows, by dbt; before dbt has built anything there are only those added at run time.
_BOTH: Final = "price_table"
_ADDED: Final = "price_overrides"
_COLUMNS: Final = (
    *("provider", "model", "tenant_id", "pricing_tier", "token_class", "price_usd", "discount_factor"),
    *("valid_from", "valid_to", "source", "noted_at"),
)


def load(client: Client, refused: Callable[[OverrideError], None] | None = None) -> PriceTable:
    """The price table as it stands now.

    Args:
        client: of the store.
        refused: told of rows that cannot be (somebody inserted them by hand), which are left out then.

    Raises:
        OverrideError: a row that cannot be, and nobody is to be told.
    """
    known = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        parameters={"name": _BOTH},
    ).result_rows
    found = client.query(f"SELECT {', '.join(_COLUMNS)} FROM {_BOTH if known else _ADDED}")
    rows = []
    for row in found.named_results():
        try:
            rows.append(Override(**{name: _aware(value) for name, value in row.items()}))
        except OverrideError as error:
            if refused is None:
                raise
            refused(error)
    return PriceTable(rows)


def add(client: Client, row: Override) -> None:
    """Note one more row; the store's clock says when."""
    names = [name for name in _COLUMNS if name != "noted_at"]
    client.insert(_ADDED, [[getattr(row, name) for name in names]], column_names=names)


def pack(table: PriceTable) -> bytes:
    """The table's rows, for where they have to be found again just as they were."""
    return msgspec.msgpack.encode([{name: getattr(row, name) for name in _COLUMNS} for row in table.rows])


def unpack(packed: bytes) -> PriceTable:
    """The table that was packed."""
    return PriceTable(msgspec.convert(row, Override) for row in msgspec.msgpack.decode(packed))


def _aware(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
