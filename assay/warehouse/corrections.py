"""The one way in which stored telemetry changes: another price, a repaired duplicate, an erasure.

A correction is one insert of the row as it was with ``sign`` = -1, then of the row as it should be with
``sign`` = 1. The raw table collapses the pair, and the rollups behind it, being sums, subtract the one and
add the other: there is no moment at which they say different things.

A crash in the middle is repaired by :func:`resume`. The signed rows are first written to a staging table, in
numbered chunks; then each chunk is inserted as one block under a token of its own. A chunk that went in
before the crash, in whole or into some of the rollups only, is dropped where it was written and inserted
where it was not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import pyarrow as pa
from clickhouse_connect.driver.client import Client

CORRECTED: Final = ("llm_traces", "llm_evaluations")

# Large enough that the cost per insert does not show, small enough that other writers wait well under a
# second.
_CHUNK_ROWS: Final = 50_000
_ID = re.compile(r"^[A-Za-z0-9_]{1,64}$")

# One thread keeps the pairs in their order, old before new, also inside a part; a chunk has to stay one
# block, since its token names blocks; the insert itself does not collapse.
_ONE_BLOCK: Final = {
    "max_threads": 1,
    "max_insert_threads": 1,
    "optimize_on_insert": 0,
    # The rollups behind the table side by side: a third less time on two cores.
    "parallel_view_processing": 1,
    "max_block_size": 4 * _CHUNK_ROWS,
    "min_insert_block_size_rows": 4 * _CHUNK_ROWS,
    "min_insert_block_size_bytes": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
}

_STATE: Final = """
    SELECT
        correction_id,
        any(target),
        max(rows),
        maxIf(chunks, event = 'staged'),
        maxIf(chunks, event = 'progress'),
        countIf(event = 'staged') > 0 AS staged,
        countIf(event = 'applied') > 0 AS applied
    FROM corrections
    GROUP BY correction_id
"""

Guard = Callable[[], AbstractContextManager[object]]


class CorrectionError(ValueError):
    """A correction that cannot be made; the message says why."""


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
        guard: held from when rows are chosen until the last chunk is in: two corrections of the same row at
            the same time would both subtract it. Correct many rows in slices, so that others need not wait.

    Raises:
        CorrectionError: a table, column or id that does not do.
    """
    columns = _columns(client, table)
    _check_new(client, table, columns, list(new))
    return _run(
        client,
        table,
        correction_id,
        columns,
        _signed(columns, new),
        "[-1, 1]",
        lambda: f"{table} FINAL WHERE {where}",
        parameters or {},
        reason,
        actor,
        guard,
    )


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
    columns = _columns(client, table)
    return _run(
        client,
        table,
        correction_id,
        columns,
        columns,
        "[-1]",
        lambda: f"{table} FINAL WHERE {where}",
        parameters or {},
        reason,
        actor,
        guard,
    )


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
    columns = _columns(client, table)
    key = [name for name in values.column_names if name in _sort_key(client, table)]
    new = [name for name in values.column_names if name not in key]
    if missing := _sort_key(client, table) - set(key):
        raise CorrectionError(f"the values of {table} lack {', '.join(sorted(missing))} of its sort key")
    _check_new(client, table, columns, new)
    given = f"{_staging(correction_id)}_values"
    renamed = ", ".join([*key, *(f"{name} AS given_{name}" for name in new)])

    def source() -> str:
        client.command(f"DROP TABLE IF EXISTS {given}")
        client.command(f"CREATE TABLE {given} ENGINE = Memory AS SELECT {renamed} FROM {table} LIMIT 0")
        client.insert_arrow(given, values.rename_columns([*key, *(f"given_{name}" for name in new)]))
        stored = f"SELECT {', '.join(columns)} FROM {table} FINAL WHERE {where}"
        return f"({stored}) AS stored INNER JOIN {given} USING ({', '.join(key)})"

    expressions = {name: f"given_{name}" for name in new}
    try:
        return _run(
            client,
            table,
            correction_id,
            columns,
            _signed(columns, expressions),
            "[-1, 1]",
            source,
            parameters or {},
            reason,
            actor,
            guard,
        )
    finally:
        client.command(f"DROP TABLE IF EXISTS {given}")


def resume(client: Client, *, guard: Guard = nullcontext, idle_s: float = 0) -> list[str]:
    """Finish every correction that a crash interrupted; return their ids.

    Args:
        client: of the store.
        guard: as of :func:`correct`.
        idle_s: only those that nobody has gone on with for so long: the others are somebody's who is at work.
    """
    unfinished = client.query(
        f"{_STATE} HAVING staged AND NOT applied AND max(occurred_at) <= now64(3) - {{idle:Float64}}",
        parameters={"idle": idle_s},
    ).result_rows
    for correction_id, table, _, chunks, done, *_ in unfinished:
        _apply(client, table, correction_id, int(chunks), guard, done=int(done))
    _drop_left_over(client)
    return [row[0] for row in unfinished]


def _run(
    client: Client,
    table: str,
    correction_id: str,
    columns: Sequence[str],
    values: Sequence[str],
    signs: str,
    source: Callable[[], str],
    parameters: Mapping[str, Any],
    reason: str,
    actor: str,
    guard: Guard,
) -> int:
    if not _ID.match(correction_id):
        raise CorrectionError(f"correction_id {correction_id!r}: 1 to 64 letters, digits and underscores")
    if known := _state(client, correction_id):
        _, target, rows, chunks, done, _, applied = known
        if not applied:
            _apply(client, target, correction_id, int(chunks), guard, done=int(done))
        return int(rows)

    with guard():
        rows = _stage(client, table, correction_id, columns, values, signs, source(), parameters)
        chunks = -(-rows // _CHUNK_ROWS)
        _record(client, correction_id, "staged", table, reason, actor, rows, chunks)
        # Without letting go in between: what is staged has to be what is stored.
        _apply(client, table, correction_id, chunks, nullcontext)
    return rows


def _stage(
    client: Client,
    table: str,
    correction_id: str,
    columns: Sequence[str],
    values: Sequence[str],
    signs: str,
    source: str,
    parameters: Mapping[str, Any],
) -> int:
    staging = _staging(correction_id)
    client.command(f"DROP TABLE IF EXISTS {staging}")
    client.command(
        f"CREATE TABLE {staging} ENGINE = MergeTree ORDER BY (chunk, position, sign) AS "
        f"SELECT {', '.join(columns)}, sign, toUInt32(0) AS chunk, toUInt64(0) AS position "
        f"FROM {table} LIMIT 0"
    )
    # Expressions see the stored row under its own names: the new values get theirs one level further out.
    renamed = ", ".join(f"{value} AS new_{i}" for i, value in enumerate(values))
    names = ", ".join(f"new_{i}" for i in range(len(values)))
    client.command(
        f"INSERT INTO {staging} ({', '.join(columns)}, sign, chunk, position) "
        f"SELECT {names}, correction_sign, intDiv(row, {_CHUNK_ROWS}), row FROM ("
        f"SELECT {renamed}, correction_sign, row FROM ("
        f"SELECT *, rowNumberInAllBlocks() AS row FROM {source}"
        f") ARRAY JOIN CAST({signs}, 'Array(Int8)') AS correction_sign)",
        parameters=dict(parameters),
        settings={"max_threads": 1, "max_insert_threads": 1},
    )
    return int(client.query(f"SELECT uniqExact(position) FROM {staging}").result_rows[0][0])


def _apply(
    client: Client, table: str, correction_id: str, chunks: int, guard: Guard, *, done: int = 0
) -> None:
    columns = ", ".join((*_columns(client, table), "sign"))
    for chunk in range(done, chunks):
        with guard():
            # Somebody else may have finished it meanwhile, and dropped what was staged.
            if _state(client, correction_id)[-1]:
                return
            client.command(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {_staging(correction_id)} "
                "WHERE chunk = {chunk:UInt32} ORDER BY position, sign",
                parameters={"chunk": chunk},
                settings={**_ONE_BLOCK, "insert_deduplication_token": f"correction:{correction_id}:{chunk}"},
            )
            # The store remembers the tokens of so many inserts: whoever resumes much later has to know more.
            if chunk + 1 < chunks:
                _record(client, correction_id, "progress", table, "", "", 0, chunk + 1)
    with guard():
        if not _state(client, correction_id)[-1]:
            _record(client, correction_id, "applied", table, "", "", 0, chunks)
        client.command(f"DROP TABLE IF EXISTS {_staging(correction_id)}")


def _state(client: Client, correction_id: str) -> Sequence[Any]:
    """Id, table, rows, chunks, chunks that are done, whether staged, whether applied; empty: unknown."""
    rows = client.query(
        f"SELECT * FROM ({_STATE}) WHERE correction_id = {{id:String}}", parameters={"id": correction_id}
    ).result_rows
    return rows[0] if rows else ()


def _drop_left_over(client: Client) -> None:
    """Drop staging tables of corrections that are applied, and of those that died while they chose rows."""
    for (table,) in client.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND startsWith(name, 'correction_') AND (substring(name, 12) IN ("
        "SELECT correction_id FROM corrections WHERE event = 'applied') OR ("
        "substring(name, 12) NOT IN (SELECT correction_id FROM corrections) "
        "AND metadata_modification_time < now() - INTERVAL 1 DAY))"
    ).result_rows:
        client.command(f"DROP TABLE IF EXISTS {table}")


def _record(
    client: Client,
    correction_id: str,
    event: str,
    table: str,
    reason: str,
    actor: str,
    rows: int,
    chunks: int,
) -> None:
    client.insert(
        "corrections",
        [(correction_id, event, table, reason, actor, rows, chunks)],
        column_names=["correction_id", "event", "target", "reason", "actor", "rows", "chunks"],
    )


def _check_new(client: Client, table: str, columns: Sequence[str], new: Sequence[str]) -> None:
    if not new or (unknown := set(new) - set(columns)):
        raise CorrectionError(
            f"{table} has no column {', '.join(sorted(unknown)) if new else '(none given)'}"
        )
    if fixed := set(new) & _sort_key(client, table):
        raise CorrectionError(
            f"{', '.join(sorted(fixed))} are part of the sort key of {table}: erase and load anew"
        )


def _signed(columns: Sequence[str], new: Mapping[str, str]) -> list[str]:
    """The columns of a correction's two rows: as it was, and with the new values."""
    return [f"if(correction_sign = 1, {new[name]}, {name})" if name in new else name for name in columns]


def _staging(correction_id: str) -> str:
    return f"correction_{correction_id}"


def _columns(client: Client, table: str) -> list[str]:
    """What an insert has to give, but for ``sign``."""
    if table not in CORRECTED:
        raise CorrectionError(f"{table} is not one of the tables that are corrected: {', '.join(CORRECTED)}")
    return [
        name
        for (name,) in client.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND default_kind != 'MATERIALIZED' AND name != 'sign' ORDER BY position",
            parameters={"table": table},
        ).result_rows
    ]


def _sort_key(client: Client, table: str) -> set[str]:
    return {
        name
        for (name,) in client.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND is_in_sorting_key",
            parameters={"table": table},
        ).result_rows
    }
