"""The table's past: its spans between two moments, the oldest first, in pieces, mapped as the bridge does.

The bridge follows what comes, by the numbers of the table's blocks. Here it is the spans' own time that
counts: a period ends, a row that comes late for it is found by reading the period again, and by their
identity all others then count once.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, Final, NamedTuple

import msgspec
import redis
import redis.asyncio
from msgspec import Struct

from assay.collector.backlog import MEMORY_SHARE, look
from assay.collector.capture import Policies
from assay.collector.otel_traces.bridge import LIMIT, MAX_ROWS, TEXT_LIMIT
from assay.collector.otel_traces.table import Table
from assay.collector.spans import Mapped, map_spans
from assay.settings import Settings

HOUR_NS: Final = 3_600 * 10**9
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Where the collector refuses and the bridge waits, history has long given way: half of either limit is for
# live traffic. So is the writer, as soon as anything has waited for it this long.
_SHARE: Final = 0.5
_BEHIND_S: Final = 5.0


class Piece(NamedTuple):
    """Some spans of the period: what became of them, and up to which Unix nanosecond all is read now."""

    mapped: Mapped
    end_ns: int


class History:
    """One reading of a period of the table.

    Args:
        table: that can be read (:meth:`Table.describe`).
        start_ns, end_ns: Unix nanoseconds; ``end_ns`` is the first that is not of it.
        tenant: whose spans are that name no tenant.
        limit: spans in a piece; of those with text fewer. Spans of one moment come together, however many.
    """

    def __init__(
        self, table: Table, start_ns: int, end_ns: int, *, tenant: str = "", limit: int = LIMIT
    ) -> None:
        self._table = table
        self._start, self._end = start_ns, end_ns
        self._tenant = tenant
        self._limit = limit
        self._budget = limit
        hours = table.rows_by_hour(start_ns, end_ns)
        self._hours = [hour for hour, _ in hours]
        self._counts = [count for _, count in hours]
        self._before = [0, *accumulate(self._counts)]

    @property
    def rows(self) -> int:
        """Rows in the period when the reading began, model calls or not."""
        return self._before[-1]

    def rows_until(self, moment_ns: int) -> int:
        """How many of them lie before a moment; within an hour in proportion."""
        place = bisect_right(self._hours, moment_ns) - 1
        if place < 0:
            return 0
        first, last = self._bounds(place)
        share = min(1.0, (moment_ns - first) / (last - first))
        return self._before[place] + int(self._counts[place] * share)

    def pieces(self, policies: Callable[[], Policies]) -> Iterator[Piece]:
        """Everything, the oldest first.

        Args:
            policies: asked for each piece whose text may be kept; of the others it stays in the table.

        Raises:
            ClickHouseError: the table cannot be read now; what was yielded stays read.
        """
        at = self._start
        while at < self._end:
            known = policies()
            text = len(known) > 0
            limit = min(self._limit, TEXT_LIMIT) if text else self._limit
            reach = self._reach(at)
            spans = self._table.between(at, reach, limit=limit + 1, text=text)
            if len(spans) > limit:
                # More are left: all of the last moment come together, with the next piece.
                reach = spans[-1].start_ns
                spans = [span for span in spans if span.start_ns < reach]
                if not spans:
                    reach += 1
                    spans = self._table.between(at, reach, limit=None, text=text)
                self._budget = max(limit, self._budget // 4)
            elif len(spans) < limit // 4:
                self._budget = min(MAX_ROWS, self._budget * 2)
            mapped = map_spans(spans, tenant=self._tenant, wants_text=known.captures, max_age=None)
            at = reach
            yield Piece(mapped, at)

    def _reach(self, at: int) -> int:
        """Until when there are about as many rows as are looked through at a time."""
        place = max(0, bisect_right(self._hours, at) - 1)
        rows = 0.0
        for number in range(place, len(self._hours)):
            first, last = self._bounds(number)
            if last <= at:
                continue
            begin = max(first, at)
            more = self._counts[number] * (last - begin) / (last - first)
            if rows + more > self._budget:
                # Several whole hours, or a part of one.
                return begin if rows else begin + max(1, int((last - begin) * (self._budget / more)))
            rows += more
        return self._end

    def _bounds(self, place: int) -> tuple[int, int]:
        """Beginning and end of an hour, as far as it is of the period."""
        hour = self._hours[place]
        return max(hour, self._start), min(hour + HOUR_NS, self._end)


class Mark(Struct):
    """How far a reading came: where it began, and up to where everything is in the queue (Unix
    nanoseconds)."""

    since_ns: int
    read_ns: int


class Bookmark:
    """The mark of a reading that is not finished. It is kept with the queue: both are lost, or neither.

    Args:
        client: of the queue.
        table: ``database.table``.
        uuid: of the table: one that is made anew under its name is another.
        tenant: whose spans are that name no tenant: with another, they are other calls.
    """

    def __init__(self, client: redis.Redis, table: str, uuid: str, tenant: str) -> None:
        self._client: Any = client
        self._key = f"assay:otel:backfill:{table}:{uuid}:{tenant}"

    def read(self, since_ns: int, until_ns: int) -> int:
        """Where to begin: where a reading from ``since_ns`` on stopped before ``until_ns``, or there."""
        kept = self._client.get(self._key)
        if kept is not None:
            mark = msgspec.json.decode(kept, type=Mark)
            if mark.since_ns == since_ns and since_ns < mark.read_ns < until_ns:
                return mark.read_ns
        return since_ns

    def write(self, since_ns: int, read_ns: int) -> None:
        """Everything up to ``read_ns`` is in the queue."""
        self._client.set(self._key, msgspec.json.encode(Mark(since_ns, read_ns)))

    def drop(self) -> None:
        """The reading is finished: the next one begins at its beginning."""
        self._client.delete(self._key)


def why_wait(settings: Settings) -> str:
    """Why history has to give way to live traffic now; empty where it need not."""
    return asyncio.run(_why_wait(settings))


async def _why_wait(settings: Settings) -> str:
    async with redis.asyncio.Redis.from_url(settings.redis, socket_timeout=15) as client:
        found = await look(client)
    if found.error:
        return f"the queue cannot be reached: {found.error}"
    if found.entries >= max(1, settings.queue_max_entries * _SHARE):
        return f"{found.entries} batches wait for the writer"
    if found.memory is not None and found.memory >= MEMORY_SHARE * _SHARE:
        return f"the queue's memory is {found.memory:.0%} full"
    if found.oldest_s is not None and found.oldest_s >= _BEHIND_S:
        return f"the writer is {found.oldest_s:.0f} s behind"
    return ""


def nanoseconds(moment: datetime) -> int:
    """Unix nanoseconds."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def moment_of(nanoseconds: int) -> datetime:
    """The inverse, to the microsecond below."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
