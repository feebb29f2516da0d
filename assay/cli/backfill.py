"""A period of the OpenTelemetry Collector's table into the store, past live traffic, and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import redis
from clickhouse_connect.driver.client import Client

from assay.cli import console
from assay.cli.loading import Load
from assay.collector.envelope import Reject
from assay.collector.otel_traces.history import Bookmark, History, moment_of, nanoseconds, why_wait
from assay.collector.otel_traces.rejects import SOURCE, unknown
from assay.collector.otel_traces.table import Table
from assay.contracts.records import Record
from assay.settings import Settings
from assay.warehouse import retention
from assay.warehouse.client import connect

# Live traffic waits behind so many of its calls at most: about a second and a half of a writer's work.
_WAITING: Final = 20_000
_LOOK_S: Final = 0.5
_LOOKS: Final = 3
_SHOWN: Final = 10
_MICROSECOND: Final = timedelta(microseconds=1)


class BackfillError(RuntimeError):
    """The period cannot be read; the message says why and what to do."""


@dataclass
class Report:
    """What a run read, and what became of it.

    Attributes:
        first, until: what was read; ``first`` is after ``--since`` where an earlier run had come so far.
        rows: of the table, model calls or not.
        accepted, duplicates: calls that are stored now, and calls that were stored before.
        queued: calls that are not stored yet: of a run that was interrupted.
        skipped: rows that are no model call.
        rejected: model calls that could not be read; ``noted_before`` of them by an earlier run.
        reasons: per field, how many and why, for example.
        complete: whether the period was read to its end.
    """

    table: str
    first: datetime
    until: datetime
    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    queued: int = 0
    skipped: int = 0
    rejected: int = 0
    noted_before: int = 0
    reasons: dict[str, tuple[int, str]] = field(default_factory=dict)
    seconds: float = 0.0
    complete: bool = False


def run(settings: Settings, first: datetime, last: datetime, *, anew: bool, hidden: bool) -> Report:
    """Read a period of the table into the store. Ctrl-C ends it with a report of what was done.

    Raises:
        BackfillError, LoadError, TableError, RetentionError, ClickHouseError, redis.RedisError: it cannot be
            done, or not be finished; it is safe to try again.
    """
    name = settings.otel_traces_table
    if name is None:
        raise BackfillError(
            "ASSAY_OTEL_TRACES_TABLE is not set: name the table of the collector's ClickHouse exporter, for "
            "example otel.otel_traces"
        )
    with (
        connect(settings, database="", url=settings.otel_traces_url) as client,
        connect(settings) as store,
        redis.Redis.from_url(settings.redis) as queue,
    ):
        table = Table(client, name)
        described = table.describe(None)
        _require_known(store, retention.load(settings.retention_file), first, last)
        load = Load(settings, "span", SOURCE, waiting=_WAITING)
        try:
            bookmark = Bookmark(queue, name, described.uuid, settings.otel_traces_tenant)
            since, end = nanoseconds(first), nanoseconds(last)
            start = since if anew else bookmark.read(since, end)
            if start > since:
                console.stderr.print(
                    f"An earlier run had come to {written(moment_of(start))}: it goes on from there "
                    "(--anew begins again).",
                    soft_wrap=True,
                )
            history = History(table, start, end, tenant=settings.otel_traces_tenant)
            report = Report(name, moment_of(start), last)
            _Backfill(settings, store, load, history, bookmark, report).run(since, start, hidden=hidden)
        finally:
            load.close()
    return report


class _Backfill:
    """The way of a period's pieces into the queue."""

    def __init__(
        self,
        settings: Settings,
        store: Client,
        load: Load,
        history: History,
        bookmark: Bookmark,
        report: Report,
    ) -> None:
        self._settings = settings
        self._store = store
        self._load = load
        self._history = history
        self._bookmark = bookmark
        self._report = report
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._calls = 0

    def run(self, since: int, start: int, *, hidden: bool) -> None:
        """Read until the end, or until Ctrl-C, and fill the report."""
        began, at, history = time.monotonic(), start, self._history
        try:
            with console.progress(hidden=hidden, width=12) as bar:
                task = bar.add_task("", total=history.rows)

                def show(what: str = "") -> None:
                    rows = history.rows_until(at)
                    rate = rows / max(0.001, time.monotonic() - began)
                    said = what or f"{rate:,.0f} rows/s"
                    bar.update(task, completed=rows, description=f"{moment_of(at):%Y-%m-%d %H:%M} {said}")

                show()
                for piece in history.pieces(self._load.policies):
                    self._give_way(show)
                    self._add(piece.mapped.records, piece.mapped.rejects)
                    at = piece.end_ns
                    self._bookmark.write(since, at)
                    show()
                show("storing")
                self._count(history.rows, self._load.finish())
            self._bookmark.drop()
            self._report.complete = True
        except KeyboardInterrupt:
            self._report.until = moment_of(at)
            self._count(history.rows_until(at), self._load.counts())
        self._report.seconds = round(time.monotonic() - began, 3)

    def _give_way(self, show: Callable[[str], None]) -> None:
        """Wait while live traffic needs queue and writer."""
        while reason := why_wait(self._settings):
            show(f"waits: {reason}")
            self._load.expect_writer()
            time.sleep(_LOOK_S)

    def _add(self, records: list[Record], rejects: list[Reject]) -> None:
        fresh = unknown(self._store, rejects) if rejects else []
        if records or fresh:
            self._load.add(records, fresh)
        self._calls += len(records) + len(rejects)
        self._report.noted_before += len(rejects) - len(fresh)
        for reject in rejects:
            self._reasons[reject.field] += 1
            self._examples.setdefault(reject.field, reject.reason)

    def _count(self, rows: int, counts: dict[str, int]) -> None:
        report = self._report
        report.rows, report.skipped = rows, max(0, rows - self._calls)
        report.accepted, report.duplicates = counts["accepted"], counts["duplicates"]
        report.queued = self._load.published - sum(counts.values())
        report.rejected = counts["rejected"] + report.noted_before
        report.reasons = {
            name: (count, self._examples[name]) for name, count in self._reasons.most_common(_SHOWN)
        }


def _require_known(store: Client, policy: retention.Retention, first: datetime, last: datetime) -> None:
    # Nothing is due on its own day, and of this one blocks are being stored.
    until = min((last - _MICROSECOND).date(), datetime.now(UTC).date() - timedelta(days=1))
    looks = 0
    while (day := retention.forgotten(store, policy, first.date(), until)) is not None:
        looks += 1
        if looks == _LOOKS:
            raise BackfillError(
                f"calls of {day} were counted and their raw rows have expired (docs/retention.md): read "
                "again, they would count twice. Begin after that day: --since "
                f"{day + timedelta(days=1)}T00:00:00Z"
            )
        # A block that comes late for a past day is in one table before the other.
        time.sleep(_LOOK_S)


def written(moment: datetime) -> str:
    """A moment, for people."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
