"""A table of the Collector's exporter, and queue and store for what comes out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import redis.asyncio

from assay.collector.otel_traces.bridge import Bridge, Totals
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support import otel_exporter
from tests.support.stores import Valkey
from tests.support.writing import Bench


@dataclass
class Source(Bench):
    """Queue, store, and the table."""

    @property
    def table(self) -> str:
        assert self.settings.otel_traces_table is not None
        return self.settings.otel_traces_table

    def insert(self, *rows: dict[str, Any]) -> None:
        otel_exporter.insert(self.store, self.table, list(rows))

    def bridge(self, **settings: Any) -> Totals:
        """Run a bridge of its own until it finds nothing more."""

        async def run() -> Totals:
            async with redis.asyncio.Redis.from_url(self.settings.redis) as client:
                bridge = Bridge(self.settings.model_copy(update=settings), client)
                try:
                    while await bridge.step():
                        pass
                finally:
                    await bridge.close()
                return bridge.totals

        return asyncio.run(run())


@pytest.fixture
def source(built: Settings, valkey: Valkey) -> Iterator[Source]:
    """A table in the database of the test, and a Valkey database that only these tests use."""
    url = valkey.url.rsplit("/", 1)[0] + "/4"
    settings = Settings(
        clickhouse_url=built.clickhouse,
        clickhouse_database=built.clickhouse_database,
        redis_url=url,
        otel_traces_table=f"{built.clickhouse_database}.otel_traces",
    )
    with redis.Redis.from_url(url) as queue, connect(settings) as store:
        queue.flushdb()
        found = Source(settings, queue, store)
        otel_exporter.create(store, found.table)
        yield found
        queue.flushdb()
