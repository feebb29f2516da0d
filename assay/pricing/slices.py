"""A period cut into slices of ``llm_traces``: along its sort key, so that reading one reads little else, and
small enough to be priced in memory at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final

from clickhouse_connect.driver.client import Client

# Raw table and rollups differ while a slice is swapped in, and a small one takes as long: a few large ones.
ROWS: Final = 200_000

_SIZES: Final = """
SELECT toStartOfMonth(timestamp) AS month, tenant_id, model, sum(sign) AS calls
FROM llm_traces
WHERE timestamp >= {first:DateTime64(6, 'UTC')} AND timestamp < {last:DateTime64(6, 'UTC')}
    AND ({tenant:String} = '' OR tenant_id = {tenant:String})
GROUP BY month, tenant_id, model
HAVING calls > 0
ORDER BY month, tenant_id, model
"""
_HOURS: Final = """
SELECT toStartOfHour(timestamp, 'UTC') AS hour, sum(sign) AS calls
FROM llm_traces
WHERE {where}
GROUP BY hour
ORDER BY hour
"""


@dataclass(frozen=True)
class Slice:
    """A condition on ``llm_traces``, with its parameters."""

    where: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class _Size:
    tenant: str
    model: str
    calls: int


def slices(client: Client, first: datetime, last: datetime, tenant: str | None = None) -> Iterator[Slice]:
    """Slices that together hold the calls of ``[first, last)``, each of about ``ROWS`` or fewer."""
    found = client.query(
        _SIZES, parameters={"first": _micro(first), "last": _micro(last), "tenant": tenant or ""}
    ).result_rows
    for month, rows in groupby(found, key=lambda row: row[0]):
        begin = max(first, datetime(month.year, month.month, 1, tzinfo=UTC))
        end = min(last, _next_month(begin))
        sizes = [_Size(row[1], row[2], int(row[3])) for row in rows]
        tenants = [list(group) for _, group in groupby(sizes, key=lambda size: size.tenant)]
        for packed in _pack(tenants, [sum(size.calls for size in group) for group in tenants]):
            if len(packed) > 1 or sum(size.calls for size in packed[0]) <= ROWS:
                yield _slice(packed[0][0], packed[-1][-1], begin, end)
                continue
            for models in _pack(packed[0], [size.calls for size in packed[0]]):
                if len(models) > 1 or models[0].calls <= ROWS:
                    yield _slice(models[0], models[-1], begin, end)
                else:
                    yield from _hours(client, models[0], begin, end)


def _hours(client: Client, size: _Size, begin: datetime, end: datetime) -> Iterator[Slice]:
    """One model of one tenant, by time."""
    whole = _slice(size, size, begin, end)
    rows = client.query(_HOURS.format(where=whole.where), parameters=whole.parameters).result_rows
    hours = [(row[0] if row[0].tzinfo else row[0].replace(tzinfo=UTC), int(row[1])) for row in rows]
    for packed in _pack(hours, [calls for _, calls in hours]):
        yield _slice(size, size, max(begin, packed[0][0]), min(end, packed[-1][0] + timedelta(hours=1)))


def _pack(items: Sequence[Any], sizes: Sequence[int]) -> Iterator[list[Any]]:
    """Neighbours together, as long as they are ``ROWS`` or fewer; what is larger by itself alone."""
    packed: list[Any] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        if packed and total + size > ROWS:
            yield packed
            packed, total = [], 0
        packed.append(item)
        total += size
    if packed:
        yield packed


def _slice(low: _Size, high: _Size, begin: datetime, end: datetime) -> Slice:
    if low.tenant == high.tenant:
        where = "tenant_id = {tenant:String} AND model >= {low:String} AND model <= {high:String}"
        parameters: dict[str, Any] = {"tenant": low.tenant, "low": low.model, "high": high.model}
    else:
        where = "tenant_id >= {low:String} AND tenant_id <= {high:String}"
        parameters = {"low": low.tenant, "high": high.tenant}
    period = "timestamp >= {begin:DateTime64(6, 'UTC')} AND timestamp < {end:DateTime64(6, 'UTC')}"
    return Slice(f"{where} AND {period}", {**parameters, "begin": _micro(begin), "end": _micro(end)})


def _micro(moment: datetime) -> str:
    """A parameter: the driver cuts fractions of seconds off moments."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"


def _next_month(moment: datetime) -> datetime:
    return datetime(moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=UTC)
