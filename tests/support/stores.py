"""The embedded stores as tests use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import clickhouse_connect
import redis
from clickhouse_connect.driver.client import Client


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
