"""A writer on the real stores, and what tests of it send and count."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import redis
from clickhouse_connect.driver.client import Client

from assay.collector.envelope import Envelope
from assay.collector.queue import STREAM, load_counts_key, publish
from assay.collector.writer.service import Writer
from assay.contracts.records import Record, Span, Tokens
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.processes import wait_for

NOW = datetime.now(UTC).replace(microsecond=123_456)


def span(number: int = 0, **fields: Any) -> Span:
    """A call that costs 0.02415 USD."""
    given: dict[str, Any] = {
        "trace_id": f"t{number}",
        "span_id": f"s{number}",
        "timestamp": NOW - timedelta(seconds=number % 50),
        "model": "claude-sonnet-4-5",
        "tokens": Tokens(prompt=10_000, completion=1_000, cached=8_000, cache_write=1_000),
        "tenant_id": "org_1",
    }
    return Span(**{**given, **fields})


COST = Decimal("0.02415")


@dataclass
class Bench:
    """Queue and store of one test."""

    settings: Settings
    queue: redis.Redis
    store: Client
    died: threading.Event = field(default_factory=threading.Event)

    def send(
        self, kind: str, *records: Record, source: str = "native", load: str = "", **options: Any
    ) -> None:
        publish(self.queue, Envelope.of(kind, source, records, load_id=load, **options))

    def writer(self, consumer: str = "w1", connect_store: Callable[[], Any] | None = None) -> Writer:
        return Writer(
            lambda: redis.Redis.from_url(self.settings.redis, socket_timeout=15),
            connect_store or (lambda: connect(self.settings)),
            consumer,
            wait_s=0.05,
            idle_s=0.05,
        )

    @contextmanager
    def running(self, consumer: str = "w1", **options: Any) -> Iterator[Writer]:
        """A writer in a thread; its error, if it dies of one, is raised at the end."""
        writer = self.writer(consumer, **options)
        died: list[BaseException] = []

        def run() -> None:
            try:
                writer.run()
            except Exception as error:  # noqa: BLE001 - handed to the test's own thread below
                died.append(error)
                self.died.set()

        self.died.clear()
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield writer
        finally:
            writer.stop()
            thread.join(30)
            if died:
                raise died[0]

    def drain(self, timeout_s: float = 30) -> None:
        """Run a writer until the queue is empty."""
        with self.running(f"drain-{time.monotonic_ns()}"):
            self.wait_empty(timeout_s)

    def wait_empty(self, timeout_s: float = 30) -> None:
        """Wait until everything that was sent is stored."""
        wait_for(lambda: self.died.is_set() or self.queue.xlen(STREAM) == 0, "an empty queue", timeout_s)

    def counts(self, load: str) -> dict[str, int]:
        found: Any = self.queue.hgetall(load_counts_key(load))
        return {name.decode(): int(value) for name, value in found.items()}

    def one(self, sql: str) -> tuple[Any, ...]:
        rows = self.store.query(sql).result_rows
        assert len(rows) == 1, rows
        return tuple(rows[0])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.store.query(sql).result_rows]

    def assert_exact(self, calls: int, *, billed: int | None = None) -> None:
        """So many spans, each once, and the same in the raw table and in every rollup."""
        assert self.one("SELECT count(), uniqExact(tenant_id, trace_id, span_id) FROM llm_traces FINAL") == (
            calls,
            calls,
        )
        raw = self.one(
            "SELECT count(), sum(cost_usd), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens) "
            "FROM llm_traces FINAL WHERE billed"
        )
        assert raw[0] == (calls if billed is None else billed)
        for grain in ("1min", "1h", "1d"):
            rollup = self.one(
                "SELECT sum(request_count), sum(cost_usd), sum(prompt_tokens), sum(completion_tokens), "
                f"sum(cached_tokens) FROM llm_kpi_{grain}"
            )
            assert rollup == raw, grain
        assert self.one("SELECT count(), uniqExact(hash) FROM ingest_identity WHERE kind = 'span'") == (
            calls,
            calls,
        )
