from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.support.stores import ClickHouse

Ask = Callable[..., httpx.Response]


@pytest.fixture
def database(clickhouse: ClickHouse) -> Iterator[str]:
    """A database of this test alone."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with clickhouse.client() as client:
        client.command(f"CREATE DATABASE {name}")
        yield name
        client.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def ask(clickhouse: ClickHouse, database: str) -> Iterator[Ask]:
    """Send one request as curl would: ``ask(sql or data, headers=…, **url parameters)``."""
    with httpx.Client(base_url=clickhouse.url, timeout=60, trust_env=False) as client:

        def send(
            content: str | bytes = b"",
            *,
            headers: dict[str, str] | None = None,
            method: str = "POST",
            **url: str,
        ) -> httpx.Response:
            parameters = {"database": database, **url}
            return client.request(method, "/", params=parameters, content=content, headers=headers)

        yield send
