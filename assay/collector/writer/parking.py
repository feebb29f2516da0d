"""Records whose span is not there yet wait in Redis and come back through the queue.

A parked record is a whole queue entry that is due later. When it is due it is appended to the stream
again, in the same step in which it stops being parked, so that it is always in exactly one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import redis

from assay.collector import queue
from assay.collector.envelope import Envelope
from assay.collector.writer import keys
from assay.collector.writer.batch import Entry
from assay.contracts.records import Record

# An exporter that lost its collector retries for minutes, a batch job may come hours later.
PATIENCE_MS: Final = 24 * 3_600_000
_FIRST_MS: Final = 1_000
_LONGEST_MS: Final = 600_000
_AT_ONCE: Final = 2_000


class Parked(NamedTuple):
    """One record to park: its name, after how long it is due, and what its queue entry will be made of."""

    member: str
    delay_ms: int
    value: bytes


def member(kind: str, identity: int) -> str:
    """The name under which a record is parked: a second copy of it is a duplicate."""
    return f"{kind}:{identity:016x}"


def expired(entry: Entry) -> bool:
    """Whether the entry's record has waited long enough. Told from the queue's clock, so that a rebuilt
    block agrees."""
    return entry.parked_since_ms > 0 and entry.queued_at_ms - entry.parked_since_ms > PATIENCE_MS


def park(kind: str, record: Record, identity: int, entry: Entry) -> Parked:
    """The record as it waits, longer each time."""
    envelope = Envelope.of(kind, entry.source, [record], received_at=entry.received_at, tenants=entry.tenants)
    since = entry.parked_since_ms or entry.queued_at_ms
    content = queue.encode(envelope)[queue.FIELD]
    return Parked(
        member(kind, identity),
        min(_FIRST_MS << min(entry.tries, 20), _LONGEST_MS),
        b"%d %d %d %b" % (since, entry.tries + 1, entry.loaded, content),
    )


class Parking:
    """The parked records in Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._release = client.register_script(keys.RELEASE)

    def release(self) -> int:
        """Put what is due back into the queue; return how many."""
        return int(self._release(keys=[keys.PARKED, keys.PARKED_DUE], args=[_AT_ONCE]))

    def present(self, members: Sequence[str]) -> list[bool]:
        """Which of these are parked now."""
        if not members or not self._client.zcard(keys.PARKED_DUE):
            return [False] * len(members)
        scores = self._client.zmscore(keys.PARKED_DUE, list(members))
        return [score is not None for score in scores]
