"""Rollups of months that are over become one part a month, without the rows that corrections left at zero.

Nothing that is counted changes. A merge adds up rows of the same key, as the store does by itself, only not
always to the end: parts that have grown large stay apart. A row whose sums and histograms are all zero adds
nothing to any sum, merged or not, so it may go whoever corrects the same period before or afterwards.

A month is settled when it cannot get late records any more. Corrections (a repricing, an erasure) may come as
long as there are raw rows, two years: they are rows beside the part, right at once, merged the next time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from clickhouse_connect.driver.client import Client

from assay.warehouse import mutations

# Live records come up to seven days late and land where they happened; a day more for the queue.
SETTLED_AFTER: Final = timedelta(days=8)
# Minutes expire; of hours and days every one is kept.
_EXPIRING: Final = "_1min"
# What score weights (1 / sampling rate, floating point) may leave of one another when they cancel out.
_ROUNDING: Final = 1e-9

Guard = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Compacted:
    """A month of a rollup, before and after."""

    table: str
    month: str
    parts_before: int
    parts_after: int
    rows_before: int
    rows_after: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class _Partition:
    table: str
    month: str
    parts: int
    rows: int
    size: int


def compact(client: Client, now: datetime, *, guard: Guard = nullcontext) -> list[Compacted]:
    """Compact every settled month of the rollups that are kept; return those that changed.

    Repeated, it does nothing; a month that is compact already is not rewritten. Writers go on: they wait only
    while rows of zero are taken out of a month that has some.

    Args:
        client: of the store.
        now: aware UTC.
        guard: held while rows are deleted: corrections tell by a table's parts how far they came.

    Raises:
        MutationError: the store could not rewrite a part. What was done before stays done.
    """
    zero = {table: _is_zero(client, table) for table in _rollups(client)}
    changed = []
    for before in _partitions(client, list(zero)):
        if not is_settled(before.month, now):
            continue
        if before.parts > 1:
            client.command(f"OPTIMIZE TABLE `{before.table}` PARTITION ID '{before.month}' FINAL")
        if _has_zeros(client, before, zero[before.table]):
            with guard():
                mutations.delete(client, before.table, zero[before.table], partition_id=before.month)
        elif before.parts == 1:
            continue
        after = next(
            (p for p in _partitions(client, [before.table]) if p.month == before.month),
            _Partition(before.table, before.month, 0, 0, 0),
        )
        changed.append(
            Compacted(
                before.table,
                before.month,
                *(before.parts, after.parts),
                *(before.rows, after.rows),
                *(before.size, after.size),
            )
        )
    return changed


def is_settled(month: str, now: datetime) -> bool:
    """Whether a month (``YYYYMM``, UTC) gets no late records any more."""
    first = date(int(month[:4]), int(month[4:]), 1)
    following = (first + timedelta(days=31)).replace(day=1)
    return following + SETTLED_AFTER <= now.date()


def _rollups(client: Client) -> list[str]:
    """Those by month, of which every row is kept; no staged corrections."""
    rows = client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND engine = 'AggregatingMergeTree' AND partition_key LIKE '%toYYYYMM(period_start)%' "
        "AND NOT endsWith(name, {expiring:String}) AND position(name, '~') = 0 ORDER BY name",
        parameters={"expiring": _EXPIRING},
    ).result_rows
    return [str(name) for (name,) in rows]


def _is_zero(client: Client, table: str) -> str:
    """The condition that a row counts nothing."""
    conditions = []
    for name, kind in client.query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
        "AND startsWith(type, 'SimpleAggregateFunction(sum') ORDER BY position",
        parameters={"table": table},
    ).result_rows:
        if "Map(" in kind:
            conditions.append(f"arrayAll(counted -> counted = 0, mapValues(`{name}`))")
        elif "Float" in kind:
            conditions.append(f"abs(ifNull(`{name}`, 0)) < {_ROUNDING}")
        else:
            conditions.append(f"ifNull(`{name}`, 0) = 0")
    return " AND ".join(conditions)


def _partitions(client: Client, tables: list[str]) -> list[_Partition]:
    rows = client.query(
        "SELECT table, partition_id, count(), sum(rows), sum(bytes_on_disk) FROM system.parts "
        "WHERE database = currentDatabase() AND active AND rows > 0 AND table IN {tables:Array(String)} "
        "GROUP BY table, partition_id ORDER BY table, partition_id",
        parameters={"tables": tables},
    ).result_rows
    return [_Partition(*row) for row in rows]


def _has_zeros(client: Client, partition: _Partition, is_zero: str) -> bool:
    found = client.query(
        f"SELECT 1 FROM `{partition.table}` WHERE _partition_id = {{month:String}} AND {is_zero} LIMIT 1",
        parameters={"month": partition.month},
    ).result_rows
    return bool(found)
