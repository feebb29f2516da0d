"""The embedded stores as tests use them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import clickhouse_connect
import redis
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse.migrations import migrate


@dataclass(frozen=True)
class ClickHouse:
    """A running embedded ClickHouse."""

    url: str
    port: int
    data_dir: Path

    def client(self, database: str = "default") -> Client:
        """A new client; not to be shared between threads."""
        return clickhouse_connect.get_client(dsn=f"{self.url}/{database}", autogenerate_session_id=False)


@dataclass(frozen=True)
class Valkey:
    """A running embedded Valkey."""

    url: str
    port: int

    def client(self) -> redis.Redis:
        """A new client, answering bytes."""
        return redis.Redis.from_url(self.url)


@contextmanager
def migrated_database(clickhouse: ClickHouse, **settings: object) -> Iterator[Settings]:
    """Settings of a database of its own with the numbered schema, dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    found = Settings(clickhouse_url=clickhouse.url, clickhouse_database=name, **settings)
    migrate(found)
    try:
        yield found
    finally:
        with clickhouse.client() as client:
            client.command(f"DROP DATABASE IF EXISTS `{name}` SYNC")


@contextmanager
def built_database(clickhouse: ClickHouse, template: Settings, **settings: object) -> Iterator[Settings]:
    """A database with schema, rollups and marts: a copy of one that dbt built, without its rows."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    old = template.clickhouse_database
    with clickhouse.client() as client:
        client.command(f"CREATE DATABASE `{name}`")
        for (statement,) in client.query(
            "SELECT create_table_query FROM system.tables WHERE database = {old:String} "
            # Views read tables and other views: those come first.
            "ORDER BY engine = 'MaterializedView', engine = 'View', length(loading_dependencies_table), "
            "metadata_modification_time",
            parameters={"old": old},
        ).result_rows:
            client.command(statement.replace(f"{old}.", f"{name}.").replace(f"`{old}`.", f"`{name}`."))
        client.command(f"INSERT INTO `{name}`.schema_migrations SELECT * FROM `{old}`.schema_migrations")
    try:
        yield Settings(clickhouse_url=clickhouse.url, clickhouse_database=name, **settings)
    finally:
        with clickhouse.client() as client:
            client.command(f"DROP DATABASE IF EXISTS `{name}` SYNC")
