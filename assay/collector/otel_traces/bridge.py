"""Spans from the table into the queue, page by page, mapped as those that come over OTLP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import redis.asyncio
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.exceptions import RedisError

from assay.collector import capture
from assay.collector.backlog import BacklogWatch
from assay.collector.envelope import Envelope, Reject
from assay.collector.native import MAX_AGE
from assay.collector.otel_traces.progress import SETTLE_S, Part, Position, Progress
from assay.collector.otel_traces.rejects import SOURCE, unknown
from assay.collector.otel_traces.table import Described, Row, Table, TableError
from assay.collector.policies import PolicyWatch
from assay.collector.queue import QueueUnavailableError, publish_noted
from assay.collector.redact import DEFAULT, Redactor
from assay.collector.spans import Mapped, map_spans
from assay.settings import Settings
from assay.warehouse.client import connect

POLL_S: Final = 1.0
# One batch of the queue; with prompts and answers, of up to megabytes, fewer.
LIMIT: Final = 5_000
TEXT_LIMIT: Final = 500
# Rows that are looked through at a time, of which model calls may be few: twenty milliseconds' work.
MAX_ROWS: Final = 1_000_000
_LONGEST_BACKOFF_S: Final = 30.0

log = logging.getLogger("assay.otel")


class WaitError(RuntimeError):
    """The table has to wait: the queue is full, or nobody can say yet whose text may be kept."""


OUTAGES: Final = (ClickHouseError, RedisError, QueueUnavailableError, OSError, TableError, WaitError)


@dataclass
class Totals:
    """What the bridge did since it was started, and what keeps it from working now.

    Attributes:
        rows: rows of the table that were looked through.
        accepted, rejected, ignored: spans that were queued, that could not be read, that called no model.
        left: rows in parts that were not read to their end; None before the table was seen.
    """

    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    ignored: int = 0
    left: int | None = None
    outage: str = ""


class Bridge:
    """Reads the table and queues what it finds. One bridge per table.

    Args:
        settings: where table, queue and store are.
        client: of the queue, which also keeps how far the table was read; the caller closes it.
        redactor: of the texts that may be kept.
    """

    def __init__(
        self, settings: Settings, client: redis.asyncio.Redis, *, redactor: Redactor = DEFAULT
    ) -> None:
        if settings.otel_traces_table is None:
            raise ValueError("ASSAY_OTEL_TRACES_TABLE is not set")
        self.totals = Totals()
        self.stop = asyncio.Event()
        self.policies = PolicyWatch(settings)
        self._settings = settings
        self._name = settings.otel_traces_table
        self._redis = client
        self._redactor = redactor
        self._backlog = BacklogWatch(client, settings.queue_max_entries)
        self._client: Client | None = None
        self._store: Client | None = None
        self._described: Described | None = None
        self._progress = Progress()
        self._rows = LIMIT
        self._settled: tuple[float, int] | None = None

    async def run(self) -> None:
        """Read until stopped. An outage is waited out, longer each time up to half a minute."""
        backoff = 0.0
        while not self.stop.is_set():
            try:
                more = await self.step()
                backoff, self.totals.outage = 0.0, ""
            except OUTAGES as error:
                more = False
                self._failed(error)
                backoff = min(_LONGEST_BACKOFF_S, max(POLL_S, backoff * 2))
            if not more:
                await self._sleep(backoff or POLL_S)

    async def step(self) -> bool:
        """Read one page, if there is anything to read; whether there may be more.

        Raises:
            ClickHouseError, RedisError, QueueUnavailableError, OSError, TableError, WaitError: try again;
                nothing is lost.
        """
        table = await self._opened()
        parts = await asyncio.to_thread(table.parts)
        progress = self._progress
        progress.begin(parts)
        self._settle(parts)
        unread = progress.unread(parts)
        self.totals.left = progress.left(unread)
        if not unread:
            return False
        await self._make_way()
        policies = self.policies.current
        limit = TEXT_LIMIT if len(policies) else LIMIT
        page = progress.page(unread, self._rows)
        # What was read once, or was there before, is not to be refused now for its age.
        fresh = progress.is_fresh(page[0].part)
        now = datetime.now(UTC)
        rows, there = await asyncio.to_thread(
            lambda: self._read(table, page, limit, None if fresh else now - MAX_AGE, text=len(policies) > 0)
        )
        stopped = (rows[-1].part, rows[-1].offset) if len(rows) == limit else None
        self._pace(page, rows, limit)
        mapped = await asyncio.to_thread(lambda: self._map(rows, policies, now))
        if mapped.rejects and not fresh:
            mapped = mapped._replace(rejects=await asyncio.to_thread(lambda: self._unknown(mapped.rejects)))
        progress.advance(page, stopped, there)
        envelopes = [Envelope.of("span", SOURCE, mapped.records, rejects=mapped.rejects, received_at=now)]
        try:
            await publish_noted(
                self._redis,
                envelopes if mapped.records or mapped.rejects else [],
                self._key,
                progress.encode(),
            )
        except QueueUnavailableError:
            # Whether it was done is not known: what is kept there says so.
            self._disconnect()
            raise
        self._count(page, stopped, mapped)
        return True

    async def close(self) -> None:
        """Close the connections that the bridge opened."""
        self._disconnect()

    # -- one page --------------------------------------------------------------------------------------------

    def _read(
        self, table: Table, page: Sequence[Position], limit: int, since: datetime | None, *, text: bool
    ) -> tuple[list[Row], Collection[str]]:
        rows = table.read(page, limit=limit, since=since, text=text)
        return rows, {part.name for part in table.parts()}

    def _map(self, rows: Sequence[Row], policies: capture.Policies, now: datetime) -> Mapped:
        mapped = map_spans(
            (row.span for row in rows),
            tenant=self._settings.otel_traces_tenant,
            wants_text=policies.captures,
            now=now,
        )
        capture.apply(mapped.records, policies, self._redactor)
        return mapped

    def _unknown(self, rejects: list[Reject]) -> list[Reject]:
        if self._store is None:
            self._store = connect(self._settings)
        return unknown(self._store, rejects)

    def _pace(self, page: Sequence[Position], rows: Sequence[Row], limit: int) -> None:
        """Look through more rows at a time where few are model calls, fewer where many are."""
        if len(rows) == limit:
            self._rows = max(limit, self._rows // 4)
        elif len(rows) < limit // 4 and sum(p.end - p.start for p in page) > self._rows // 2:
            self._rows = min(MAX_ROWS, self._rows * 2)

    def _count(self, page: Sequence[Position], stopped: tuple[str, int] | None, mapped: Mapped) -> None:
        if stopped is None:
            self.totals.rows += sum(position.end - position.start for position in page)
        else:
            self.totals.rows += sum(
                (stopped[1] + 1 if p.part.name == stopped[0] else p.end) - p.start
                for p in page
                if p.part.name <= stopped[0]
            )
        self.totals.accepted += len(mapped.records)
        self.totals.rejected += len(mapped.rejects)
        self.totals.ignored += mapped.ignored

    # -- around it -------------------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        """Where in Redis it is kept how far the table was read: with the queue, so that both are lost, or
        neither; and under the table's own id, which one that is made anew under its name does not have."""
        described = self._described
        return f"assay:otel:read:{self._name}:{described.uuid if described else ''}"

    async def _opened(self) -> Table:
        if self._client is None:
            self._client = await asyncio.to_thread(
                lambda: connect(self._settings, database="", url=self._settings.otel_traces_url)
            )
        table = Table(self._client, self._name)
        described = await asyncio.to_thread(lambda: table.describe(self._described))
        if described != self._described:
            self._described = described
            self._settled = None
            kept = await self._redis.get(self._key)
            self._progress = Progress.decode(kept if isinstance(kept, bytes) else None)
            if not self._progress.begun:
                log.info("%s is read from its calls of the last %d days on", self._name, MAX_AGE.days)
        return table

    def _settle(self, parts: Sequence[Part]) -> None:
        self._progress.forget(parts)
        now = time.monotonic()
        if self._described is None or not self._described.serial:
            return
        if self._settled is None or now - self._settled[0] >= SETTLE_S:
            if self._settled is not None:
                self._progress.settle(parts, self._settled[1])
            self._settled = now, max((part.last for part in parts), default=0)

    async def _make_way(self) -> None:
        """Raise where a page cannot be taken now."""
        found = await self._backlog.refresh()
        if found.error:
            raise QueueUnavailableError(f"the queue cannot be reached: {found.error}")
        if self._backlog.full:
            raise WaitError(self._backlog.why_full)
        if self.policies.read_at is None:
            await self.policies.refresh()
        if self.policies.read_at is None:
            # A sender would be answered, and its text dropped. The table keeps it meanwhile.
            raise WaitError(f"the capture policies cannot be read: {self.policies.error}")

    def _failed(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}".split("\n")[0][:500]
        if text != self.totals.outage:
            log.warning("%s", text)
        self.totals.outage = text
        if not isinstance(error, WaitError):
            self._disconnect()

    def _disconnect(self) -> None:
        for client in (self._client, self._store):
            if client is not None:
                client.close()
        self._client = self._store = self._described = None

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stop.wait(), seconds)
        except TimeoutError:
            return
