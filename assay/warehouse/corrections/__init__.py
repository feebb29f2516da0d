"""The one way in which stored telemetry changes: another price, a repaired duplicate, an erasure.

A correction is the row as it was with ``sign`` = -1, then the row as it should be with ``sign`` = 1. The raw
table collapses the pair, and the rollups behind it, being sums, subtract the one and add the other.

An insert reaches a table and the rollups behind it one after the other, and for a large one that takes
seconds in which they say different things. So nothing is inserted: everything is made beside the tables
(:mod:`~assay.warehouse.corrections.staging`), then swapped in without a row being read or written
(:mod:`~assay.warehouse.corrections.swap`): a few milliseconds a table, whatever the number of rows. A crash
in between is repaired by :func:`resume`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Final

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from assay.warehouse.corrections import record, rows, staging, swap
from assay.warehouse.corrections.record import Recorded
from assay.warehouse.corrections.rows import CORRECTED, Change, CorrectionError
from assay.warehouse.corrections.staging import Staging

__all__ = ["CORRECTED", "CorrectionError", "Guard", "correct", "erase", "replace", "resume"]

Guard = Callable[[], AbstractContextManager[object]]

_ID: Final = re.compile(r"^[A-Za-z0-9_]{1,64}$")


def correct(
    client: Client,
    table: str,
    *,
    correction_id: str,
    where: str,
    new: Mapping[str, str],
    reason: str,
    actor: str,
    parameters: Mapping[str, Any] | None = None,
    guard: Guard = nullcontext,
) -> int:
    """Replace the rows that ``where`` names by themselves with other values; return how many.

    Args:
        client: of the store.
        table: one of ``CORRECTED``.
        correction_id: names this correction; letters, digits and underscores. Repeated, it does nothing more.
        where: a condition on the stored row.
        new: SQL expression by column, over the stored row. Columns of the sort key cannot change.
        reason: for the record.
        actor: for the record.
        parameters: of ``where`` and ``new``.
        guard: held while rows are swapped: two corrections of the same row at the same time would both
            subtract it. What somebody else changed after it was staged is staged anew while it is held.

    Raises:
        CorrectionError: a table, column or id that does not do.
    """
    columns = rows.columns(client, table)
    rows.check_new(client, table, columns, list(new))
    change = Change(
        columns, rows.signed(columns, new), "[-1, 1]", f"{table} FINAL WHERE {where}", parameters or {}
    )
    return _run(client, table, correction_id, change, reason, actor, guard)


def erase(
    client: Client,
    table: str,
    *,
    correction_id: str,
    where: str,
    reason: str,
    actor: str,
    parameters: Mapping[str, Any] | None = None,
    guard: Guard = nullcontext,
) -> int:
    """Take the rows that ``where`` names out of the raw table and of every rollup; return how many.

    Arguments and errors as of :func:`correct`.
    """
    columns = rows.columns(client, table)
    change = Change(columns, columns, "[-1]", f"{table} FINAL WHERE {where}", parameters or {})
    return _run(client, table, correction_id, change, reason, actor, guard)


def replace(
    client: Client,
    table: str,
    *,
    correction_id: str,
    values: pa.Table,
    where: str,
    reason: str,
    actor: str,
    parameters: Mapping[str, Any] | None = None,
    guard: Guard = nullcontext,
) -> int:
    """Give stored rows the values that were computed for them elsewhere; return how many were there.

    Args:
        values: the columns that ``table`` is sorted by, which say which row, and the new values by column.
        where: a condition that all of these rows meet, so that not the whole table is searched for them.

    Other arguments and errors as of :func:`correct`.
    """
    columns = rows.columns(client, table)
    sort_key = rows.sort_key(client, table)
    key = [name for name in values.column_names if name in sort_key]
    new = [name for name in values.column_names if name not in key]
    if missing := sort_key - set(key):
        raise CorrectionError(f"the values of {table} lack {', '.join(sorted(missing))} of its sort key")
    rows.check_new(client, table, columns, new)
    with staging.given(client, table, values, key, new) as given:
        stored = f"SELECT {', '.join(columns)} FROM {table} FINAL WHERE {where}"
        change = Change(
            columns,
            rows.signed(columns, {name: f"given_{name}" for name in new}),
            "[-1, 1]",
            f"({stored}) AS stored INNER JOIN {given} AS given USING ({', '.join(key)})",
            parameters or {},
        )
        return _run(client, table, correction_id, change, reason, actor, guard)


def resume(client: Client, *, guard: Guard = nullcontext) -> list[str]:
    """Finish every correction that a crash interrupted; return their ids.

    Args:
        client: of the store.
        guard: as of :func:`correct`.
    """
    unfinished = record.unfinished(client)
    for known in unfinished:
        _finish(client, known, guard)
    staging.drop_left_over(client)
    return [known.correction_id for known in unfinished]


def _run(
    client: Client, table: str, correction_id: str, change: Change, reason: str, actor: str, guard: Guard
) -> int:
    if not _ID.match(correction_id):
        raise CorrectionError(f"correction_id {correction_id!r}: 1 to 64 letters, digits and underscores")
    if known := record.find(client, correction_id):
        return _finish(client, known, guard)
    staged = Staging(client, table)
    count = staged.fill(change)
    with guard():
        # By somebody who does the same: it is done once.
        if known := record.find(client, correction_id):
            staged.drop()
            return _finish(client, known, nullcontext)
        if not staged.is_current(change):
            count = staged.fill(change)
        moves = swap.plan(client, staged)
        record.staged(client, Recorded(correction_id, table, count, staged.name, moves), reason, actor)
        _apply(client, correction_id, table, partial(swap.move, client, moves))
    staged.drop()
    return count


def _finish(client: Client, known: Recorded, guard: Guard) -> int:
    """Do what is left to do of a correction that is on record."""
    if not known.is_applied:
        with guard():
            # Unless whoever held the guard before has done it.
            if not record.is_applied(client, known.correction_id):
                _apply(client, known.correction_id, known.table, partial(swap.finish, client, known.moves))
        staging.drop(client, known.staging)
    return known.rows


def _apply(client: Client, correction_id: str, table: str, swapped: Callable[[], None]) -> None:
    try:
        swapped()
    except DatabaseError:
        # The lease of a guard can run out: then somebody else finished this, and dropped what was staged.
        if record.is_applied(client, correction_id):
            return
        raise
    if not record.is_applied(client, correction_id):
        record.applied(client, correction_id, table)
