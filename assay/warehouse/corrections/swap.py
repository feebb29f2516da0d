"""Staged rows become part of their tables: parts change their table, no row is read or written.

One move is one statement that takes milliseconds, so a correction is a handful of them back to back, and
that is how long a reader of two tables can see it in one and not yet in the other.

Exactly once. To whoever asks the running store, a partition is in one place or in the other. On disk the
target gets the part at once, and the staging table's is cleaned up later: killed meanwhile, it finds the
part in both when it starts again (in each of 40 kills within a swap it did). Whether a part that is still
staged has been moved, the target tells by its block numbers: they only grow, merges keep them, and whoever
inserts into these tables holds the guard and first finishes what was cut off (the lock of the collector's
writer). So a number above the highest one from before can only be that of the part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from assay.warehouse.corrections.staging import Staging, conform
from assay.warehouse.corrections.views import Table

_NO_BLOCK: Final = -1


class Move(NamedTuple):
    """One partition on its way.

    Attributes:
        staging: table in which it is.
        database, table: where it belongs.
        partition_id: as the store names it.
        after_block: the highest block number of the target's partition before.
    """

    staging: str
    database: str
    table: str
    partition_id: str
    after_block: int


def plan(client: Client, staged: Staging) -> list[Move]:
    """What has to be moved, in this order. Only valid while nobody else inserts."""
    meant = {source.name: target for target, source in staged.tables.items()}
    blocks = _highest_blocks(client, meant.values())
    rank = {name: number for number, name in enumerate(meant)}
    moves = [
        Move(name, *meant[name], partition, blocks.get((meant[name], partition), _NO_BLOCK))
        for name, partition in _staged(client, meant)
    ]
    # Tables of the same period side by side: a month of all of them, then the next.
    return sorted(moves, key=lambda move: (move.partition_id.split("-")[0], rank[move.staging]))


def move(client: Client, moves: Sequence[Move]) -> None:
    """Move what is staged; what is not staged any more has been moved."""
    for one in moves:
        client.command(
            f"ALTER TABLE `{one.staging}` MOVE PARTITION ID '{one.partition_id}' "
            f"TO TABLE {Table(one.database, one.table).sql}"
        )


def finish(client: Client, moves: Sequence[Move]) -> None:
    """Move what a crash left staged, but for what it left in both places, into tables as they are by now."""
    left = set(_staged(client, [one.staging for one in moves]))
    blocks = _highest_blocks(client, [Table(one.database, one.table) for one in moves])
    waiting = []
    for one in moves:
        if (one.staging, one.partition_id) not in left:
            continue
        if blocks.get((Table(one.database, one.table), one.partition_id), _NO_BLOCK) > one.after_block:
            client.command(f"ALTER TABLE `{one.staging}` DROP PARTITION ID '{one.partition_id}'")
        else:
            waiting.append(one)
    for name, target in {one.staging: Table(one.database, one.table) for one in waiting}.items():
        conform(client, name, target)
    move(client, waiting)


def _staged(client: Client, names: Iterable[str]) -> list[tuple[str, str]]:
    """Table and partition of what is staged."""
    rows = client.query(
        "SELECT DISTINCT table, partition_id FROM system.parts WHERE database = currentDatabase() "
        "AND active AND rows > 0 AND table IN {names:Array(String)}",
        parameters={"names": list(names)},
    ).result_rows
    return [(str(table), str(partition)) for table, partition in rows]


def _highest_blocks(client: Client, tables: Iterable[Table]) -> dict[tuple[Table, str], int]:
    """By table and partition."""
    rows = client.query(
        "SELECT database, table, partition_id, max(max_block_number) FROM system.parts WHERE active "
        "AND (database, table) IN {tables:Array(Tuple(String, String))} "
        "GROUP BY database, table, partition_id",
        parameters={"tables": [tuple(table) for table in tables]},
    ).result_rows
    return {(Table(database, table), partition): int(block) for database, table, partition, block in rows}
