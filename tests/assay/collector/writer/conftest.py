"""A queue and a store for one test of the writer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.stores import Valkey
from tests.support.writing import Bench


@pytest.fixture
def bench(built: Settings, valkey: Valkey) -> Iterator[Bench]:
    """Schema with rollups, and a Valkey database that only these tests use."""
    url = valkey.url.rsplit("/", 1)[0] + "/9"
    settings = Settings(
        clickhouse_url=built.clickhouse, clickhouse_database=built.clickhouse_database, redis_url=url
    )
    with redis.Redis.from_url(url) as queue, connect(settings) as store:
        queue.flushdb()
        yield Bench(settings, queue, store)
        queue.flushdb()
