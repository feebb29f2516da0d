"""Databases on the embedded ClickHouse, lent to one test at a time."""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse.dbt import build
from assay.warehouse.migrations import migrate
from tests.support.stores import ClickHouse


class Databases:
    """Databases of one shape, each as a new one whenever it is lent.

    Making one takes some hundred statements. So what comes back is emptied and lent again, unless a table is
    not what it was, the tables that have rows from the beginning have others, or a mutation has not ended:
    then it is dropped, and another is made.

    Args:
        clickhouse: the server.
        make: makes a database of this name.
    """

    def __init__(self, clickhouse: ClickHouse, make: Callable[[str], None]) -> None:
        self._clickhouse = clickhouse
        self._make = make
        self._free: list[str] = []
        # What makes each table and view of a new database; by database, fingerprints of tables with rows.
        self._shape: dict[str, str] = {}
        self._rows: dict[str, dict[str, tuple[int, int]]] = {}

    @classmethod
    def migrated(cls, clickhouse: ClickHouse) -> Databases:
        """With the numbered schema."""
        url = clickhouse.url
        return cls(clickhouse, lambda name: migrate(Settings(clickhouse_url=url, clickhouse_database=name)))

    @classmethod
    def built(cls, clickhouse: ClickHouse, template: Settings) -> Databases:
        """With schema, rollups and marts: copies of a database that dbt built, without its rows."""
        old = template.clickhouse_database

        def make(name: str) -> None:
            with clickhouse.client() as client:
                client.command(f"CREATE DATABASE `{name}`")
                _create(client, name, _statements(client, old), old)
                known = "schema_migrations"
                client.command(f"INSERT INTO `{name}`.{known} SELECT * FROM `{old}`.{known}")

        return cls(clickhouse, make)

    @contextmanager
    def lend(self, **settings: object) -> Iterator[Settings]:
        """Settings of a database that nobody else has."""
        name = self._emptied() or self._new()
        try:
            yield Settings(clickhouse_url=self._clickhouse.url, clickhouse_database=name, **settings)
        finally:
            self._free.append(name)

    def close(self) -> None:
        """Drop what came back."""
        with self._clickhouse.client() as client:
            while self._free:
                client.command(f"DROP DATABASE IF EXISTS `{self._free.pop()}` SYNC")

    def _new(self) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._make(name)
        with self._clickhouse.client() as client:
            self._shape = self._shape or _shape(client, name)
            self._rows[name] = {table: _fingerprint(client, name, table) for table in _touched(client, name)}
        return name

    def _emptied(self) -> str:
        """The name of a database that came back and is as a new one again, if there is any."""
        if not self._free:
            return ""
        name = self._free.pop()
        known = self._rows.pop(name)
        with self._clickhouse.client() as client:
            # A test that failed may have left them stopped.
            client.command("SYSTEM START MERGES")
            if _shape(client, name) == self._shape and not _mutating(client, name):
                touched = _touched(client, name)
                for table in touched - known.keys():
                    # Deduplication tokens go with the rows: the same block can be inserted again.
                    client.command(f"TRUNCATE TABLE `{name}`.`{table}`")
                if {table: _fingerprint(client, name, table) for table in touched & known.keys()} == known:
                    self._rows[name] = known
                    return name
            client.command(f"DROP DATABASE IF EXISTS `{name}` SYNC")
        return ""


def template_database(clickhouse: ClickHouse, shared: Path, target: Path) -> Settings:
    """A database that dbt built. It is dbt's work in one of a session's processes; the others, each with a
    server of its own, make the same tables and views.

    Args:
        clickhouse: the server.
        shared: a directory of the whole session.
        target: where dbt writes.
    """
    settings = Settings(
        clickhouse_url=clickhouse.url, clickhouse_database=f"test_template_{uuid.uuid4().hex[:12]}"
    )
    name = settings.clickhouse_database
    migrate(settings)
    file = shared / "template.json"
    with clickhouse.client() as client, (shared / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            build(settings, target=target)
            file.write_text(json.dumps([name, *_statements(client, name)]))
            return settings
        old, *made = json.loads(file.read_text())
        there = {table for table, _ in _statements(client, name)}
        _create(client, name, [(table, sql) for table, sql in made if table not in there], old)
    return settings


def _statements(client: Client, database: str) -> list[tuple[str, str]]:
    """Tables and views with what makes them, in an order in which they can be made."""
    return list(
        client.query(
            "SELECT name, create_table_query FROM system.tables WHERE database = {database:String} "
            # Views read tables and other views: those come first.
            "ORDER BY engine = 'MaterializedView', engine = 'View', length(loading_dependencies_table), "
            "metadata_modification_time",
            parameters={"database": database},
        ).result_rows
    )


def _create(client: Client, database: str, made: Sequence[tuple[str, str]], old: str) -> None:
    """Make these tables and views of the database ``old`` in another."""
    for _, sql in made:
        client.command(sql.replace(f"{old}.", f"{database}.").replace(f"`{old}`.", f"`{database}`."))


def _shape(client: Client, database: str) -> dict[str, str]:
    """What makes each table and view, whatever the database is called."""
    return {
        table: sql.replace(f"{database}.", "").replace(f"`{database}`.", "")
        for table, sql in _statements(client, database)
    }


def _touched(client: Client, database: str) -> set[str]:
    """Tables that have parts, or had some a moment ago."""
    rows = client.query(
        "SELECT DISTINCT table FROM system.parts WHERE database = {database:String}",
        parameters={"database": database},
    ).result_rows
    return {table for (table,) in rows}


def _fingerprint(client: Client, database: str, table: str) -> tuple[int, int]:
    rows = client.query(f"SELECT count(), sum(cityHash64(*)) FROM `{database}`.`{table}`").result_rows
    return rows[0][0], rows[0][1]


def _mutating(client: Client, database: str) -> bool:
    rows = client.query(
        "SELECT count() FROM system.mutations WHERE database = {database:String} AND NOT is_done",
        parameters={"database": database},
    ).result_rows
    return bool(rows[0][0])
