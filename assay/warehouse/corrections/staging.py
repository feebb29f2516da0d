"""The rows of a correction before anybody sees them: those of the raw table, and what each rollup gets.

Each lies in a table made like the one it is meant for, so that its parts can be moved there as they are.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from assay.warehouse.corrections import views
from assay.warehouse.corrections.rows import Change
from assay.warehouse.corrections.views import Table

_PREFIX: Final = "correction_"

_INSERT: Final = {
    "max_insert_threads": 1,
    # Pairs do not collapse on the way. Nor are a rollup's halves of a pair added up here: the next merge does
    # it along with its own work, and repricing takes half the processor time.
    "optimize_on_insert": 0,
    "insert_deduplicate": 0,
    "max_partitions_per_insert_block": 0,
}
# One thread keeps pairs in their order, old before new.
_PAIRS: Final = {**_INSERT, "max_threads": 1}


class Staging:
    """The staged rows of one attempt at a correction, under a name that no other attempt has.

    Args:
        client: of the store.
        table: the raw table, of the client's database.
    """

    def __init__(self, client: Client, table: str) -> None:
        self._client = client
        database = str(client.query("SELECT currentDatabase()").result_rows[0][0])
        self._raw = Table(database, table)
        self._views = views.behind(client, self._raw)
        self._filled = (0, 0)
        self.name = f"{_PREFIX}{secrets.token_hex(8)}"

    @property
    def tables(self) -> dict[Table, Table]:
        """By target, the staging table whose rows are meant for it."""
        targets = dict.fromkeys([self._raw, *(view.target for view in self._views)])
        return {target: self._of(target) for target in targets}

    def fill(self, change: Change) -> int:
        """Stage the rows as they are stored now, in place of what was staged before; return how many."""
        self.drop()
        for target, staged in self.tables.items():
            self._client.command(f"CREATE TABLE {staged.sql} AS {target.sql}")
        raw = self._of(self._raw)
        # Expressions see the stored row under its own names: the new values get theirs one level further out.
        renamed = ", ".join(f"{value} AS new_{i}" for i, value in enumerate(change.values))
        names = ", ".join(f"new_{i}" for i in range(len(change.values)))
        self._client.command(
            f"INSERT INTO {raw.sql} ({', '.join(change.columns)}, sign) "
            f"SELECT {names}, correction_sign FROM (SELECT {renamed}, correction_sign FROM ("
            f"SELECT * FROM {change.source}"
            f") ARRAY JOIN CAST({change.signs}, 'Array(Int8)') AS correction_sign)",
            parameters=dict(change.parameters),
            settings=_PAIRS,
        )
        for view in self._views:
            columns = ", ".join(f"`{name}`" for name in view.columns)
            self._client.command(
                f"INSERT INTO {self._of(view.target).sql} ({columns}) "
                f"SELECT {columns} FROM ({view.over(self._of(view.source))})",
                settings=_INSERT,
            )
        _one_part_each(self._client, [staged.name for staged in self.tables.values()])
        self._filled = self._fingerprint(f"{raw.sql} WHERE sign = -1", change)
        return self._filled[0]

    def is_current(self, change: Change) -> bool:
        """Whether the rows are still stored as they were when they were staged."""
        return self._fingerprint(change.source, change) == self._filled

    def drop(self) -> None:
        """Take the tables away."""
        drop(self._client, self.name)

    def _of(self, target: Table) -> Table:
        return Table(self._raw.database, f"{self.name}~{target.name}")

    def _fingerprint(self, source: str, change: Change) -> tuple[int, int]:
        """How many rows, and a sum that changes with any value of any of them."""
        # In a tuple: by itself a NULL would make the hash of its row NULL.
        ((count, fingerprint),) = self._client.query(
            f"SELECT count(), sum(cityHash64(tuple({', '.join(change.columns)}))) FROM {source}",
            parameters=dict(change.parameters),
        ).result_rows
        return int(count), int(fingerprint)


@contextmanager
def given(
    client: Client, table: str, values: pa.Table, key: Sequence[str], new: Sequence[str]
) -> Iterator[str]:
    """A table of values from elsewhere, the new ones under names that begin with ``given_``."""
    name = f"`{_PREFIX}{secrets.token_hex(8)}~given`"
    renamed = ", ".join([*key, *(f"{column} AS given_{column}" for column in new)])
    client.command(f"CREATE TABLE {name} ENGINE = Memory AS SELECT {renamed} FROM {table} LIMIT 0")
    try:
        client.insert_arrow(name, values.rename_columns([*key, *(f"given_{column}" for column in new)]))
        yield name
    finally:
        client.command(f"DROP TABLE IF EXISTS {name}")


def conform(client: Client, name: str, target: Table) -> None:
    """Make a staging table like its target again, with the rows that it has.

    Between a crash and whoever finishes what it cut off, a migration or a retention file may alter the
    target, and parts only move between tables of one structure and one storage policy. A column that the
    target has got meanwhile gets its default, as it does in the rows that are corrected.

    Args:
        client: of the store.
        name: of the staging table.
        target: where its parts belong.
    """
    is_alike = (
        "SELECT uniqExact(substring(create_table_query, position(create_table_query, '('))) = 1 "
        "FROM system.tables WHERE (database, name) IN {tables:Array(Tuple(String, String))}"
    )
    tables = [
        (target.database, target.name),
        (str(client.query("SELECT currentDatabase()").result_rows[0][0]), name),
    ]
    if client.query(is_alike, parameters={"tables": tables}).result_rows[0][0]:
        return
    columns = ", ".join(
        f"`{column}`"
        for (column,) in client.query(
            "SELECT name FROM system.columns "
            "WHERE (database, table) IN {tables:Array(Tuple(String, String))} "
            "AND default_kind NOT IN ('MATERIALIZED', 'ALIAS') "
            "GROUP BY name HAVING count() = 2 ORDER BY name",
            parameters={"tables": tables},
        ).result_rows
    )
    # Cut off here it is done again; the name is that of the staging, with which it is dropped.
    anew = f"{name}~anew"
    client.command(f"DROP TABLE IF EXISTS `{anew}` SYNC")
    client.command(f"CREATE TABLE `{anew}` AS {target.sql}")
    client.command(f"INSERT INTO `{anew}` ({columns}) SELECT {columns} FROM `{name}`", settings=_PAIRS)
    _one_part_each(client, [anew])
    # In one step: of two renames the first may be the last, and then nothing would be staged.
    client.command(f"EXCHANGE TABLES `{anew}` AND `{name}`")


def drop(client: Client, name: str) -> None:
    """Take the tables of a staging away, by its name."""
    _drop(client, "splitByChar('~', name)[1] = {name:String}", {"name": name})


def drop_left_over(client: Client, *, after_s: int = 86_400) -> None:
    """Drop the tables of corrections that are applied, and of those that died while they staged rows.

    Args:
        client: of the store.
        after_s: what is not on record and younger than that may be somebody's who is still at it.
    """
    _drop(
        client,
        f"startsWith(name, '{_PREFIX}') AND (splitByChar('~', name)[1] IN ("
        "SELECT staging FROM corrections WHERE event = 'staged' AND correction_id IN ("
        "SELECT correction_id FROM corrections WHERE event = 'applied')) OR ("
        "splitByChar('~', name)[1] NOT IN (SELECT staging FROM corrections) "
        "AND metadata_modification_time <= now() - toIntervalSecond({after_s:UInt32})))",
        {"after_s": after_s},
    )


def _one_part_each(client: Client, names: Sequence[str]) -> None:
    """Merge what large corrections left in several parts: a partition moves as one part or not at all."""
    for table, partition in client.query(
        "SELECT table, partition_id FROM system.parts WHERE database = currentDatabase() AND active "
        "AND table IN {names:Array(String)} GROUP BY table, partition_id HAVING count() > 1",
        parameters={"names": list(names)},
    ).result_rows:
        client.command(f"OPTIMIZE TABLE `{table}` PARTITION ID '{partition}' FINAL")


def _drop(client: Client, condition: str, parameters: dict[str, Any]) -> None:
    names = [
        f"`{name}`"
        for (name,) in client.query(
            f"SELECT name FROM system.tables WHERE database = currentDatabase() AND ({condition})",
            parameters=parameters,
        ).result_rows
    ]
    if names:
        # At once: otherwise the store would keep the files of every slice of a repricing for minutes.
        client.command(f"DROP TABLE IF EXISTS {', '.join(names)} SYNC")
