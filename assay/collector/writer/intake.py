"""The writer's end of the queue: gathering blocks, taking over from the dead, acknowledging."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import redis

from assay.collector.queue import GROUP, STREAM, load_counts_key
from assay.collector.writer import keys
from assay.collector.writer.batch import Batch, Entry, RawEntry
from assay.collector.writer.parking import Parked

# A consumer that did not renew its key for this long is dead.
ALIVE_MS: Final = 6_000
_MOST_ENTRIES: Final = 4_096
_CLAIM: Final = 512
# Text can be large: a block stays well below what the store splits in two (256 MB).
_MOST_BYTES: Final = 64 << 20


class Intake:
    """Reads the stream as one consumer of the group.

    Args:
        client: answering bytes; for this thread alone.
        consumer: name, of this process alone.
        rows: a block is full with this many.
        wait_s: an entry waits this long for others.
        idle_s: one read waits this long for a first entry; a stop is heeded this often.
    """

    def __init__(
        self, client: redis.Redis, consumer: str, *, rows: int, wait_s: float, idle_s: float
    ) -> None:
        self._client = client
        self.consumer = consumer
        self._rows = rows
        self._wait_s = wait_s
        self._idle_ms = int(idle_s * 1000)
        self._claimed: deque[RawEntry] = deque()
        self._rows_per_entry = 1.0
        self._finish = client.register_script(keys.FINISH)
        self._write_note = client.register_script(keys.WRITE_NOTE)
        self._forget = client.register_script(keys.FORGET)

    def prepare(self) -> None:
        """Create stream and group where they are missing."""
        try:
            self._client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def gather(self) -> Batch:
        """The next block's entries, decoded; empty when nothing came for a while."""
        batch = Batch()
        while self._claimed and not self._full(batch):
            batch.add(self._claimed.popleft())
        deadline = 0.0
        while not self._full(batch):
            if not batch.entries:
                wait_ms = self._idle_ms
            else:
                deadline = deadline or time.monotonic() + self._wait_s
                wait_ms = int((deadline - time.monotonic()) * 1000)
                if wait_ms <= 0:
                    break
            found = self._read(wait_ms, batch.rows)
            for raw in found:
                batch.add(raw)
            if not found:
                break
        if batch.entries:
            self._rows_per_entry = max(1.0, batch.rows / len(batch.entries))
        return batch

    def take_over(self) -> int:
        """Claim what was delivered to consumers that are dead; return how many entries.

        Only between blocks: what is pending for this consumer then, and not in its hands, was lost on the
            way to it.
        """
        count = 0
        for row in self._client.xinfo_consumers(STREAM, GROUP):
            name = row["name"].decode()
            if name == self.consumer:
                if row["pending"] > len(self._claimed):
                    self._claimed = deque(self._delivered())
                continue
            if self._client.exists(keys.alive(name)):
                continue
            pending: Any = self._client.xpending_range(STREAM, GROUP, "-", "+", _CLAIM, consumername=name)
            if not pending:
                self._forget(keys=[keys.alive(name)], args=[name])
                continue
            ids = [item["message_id"] for item in pending]
            # Of several writers that find the same dead one, the first gets the entry: it is not idle any
            # more.
            found: Any = self._client.xclaim(STREAM, GROUP, self.consumer, ALIVE_MS // 2, ids)
            self._claimed.extend((entry_id, fields) for entry_id, fields in found if fields)
            count += len(found)
        return count

    def _delivered(self) -> list[RawEntry]:
        """What was delivered to this consumer and is not acknowledged."""
        answer: Any = self._client.xreadgroup(GROUP, self.consumer, {STREAM: "0"}, count=_CLAIM)
        found = [entry for _, entries in answer for entry in entries] if answer else []
        if gone := [entry_id for entry_id, fields in found if not fields]:
            self._client.xack(STREAM, GROUP, *gone)
        return [(entry_id, fields) for entry_id, fields in found if fields]

    def read_again(self, ids: Sequence[str]) -> list[RawEntry]:
        """Entries by id; those that are gone are left out."""
        pipeline = self._client.pipeline(transaction=False)
        for entry_id in ids:
            pipeline.xrange(STREAM, entry_id, entry_id)
        return [entry for found in pipeline.execute() for entry in found]

    def note(self) -> tuple[str, bytes] | None:
        """Token and note of the block that was begun and not finished."""
        found: Any = self._client.hgetall(keys.NOTE)
        return (found[b"token"].decode(), found[b"body"]) if found else None

    def write_note(self, lock_token: bytes, token: str, body: bytes) -> bool:
        """Write down what a block is made of; False when the lock is not held any more."""
        return bool(self._write_note(keys=[keys.LOCK, keys.NOTE], args=[lock_token, token, body]))

    def drop_note(self) -> None:
        """Forget a block that cannot be rebuilt."""
        self._client.delete(keys.NOTE)

    def finish(self, token: str, entries: Sequence[Entry], parked: Sequence[Parked]) -> bool:
        """Acknowledge, count and park in one step; False when another writer did so already."""
        seconds, micros = self._client.time()
        now_ms = seconds * 1000 + micros // 1000
        counts = [[e.id, _load_key(e.load_id), e.accepted, e.duplicates, e.rejected] for e in entries]
        waiting = [part for p in parked for part in (p.member, now_ms + p.delay_ms, p.value)]
        done = self._finish(
            keys=[keys.NOTE, keys.PARKED, keys.PARKED_DUE],
            args=[token, msgspec.msgpack.encode(counts), *waiting],
        )
        return bool(done)

    def _full(self, batch: Batch) -> bool:
        return batch.rows >= self._rows or batch.bytes >= _MOST_BYTES

    def _read(self, wait_ms: int, have: int) -> list[RawEntry]:
        count = max(1, min(_MOST_ENTRIES, int((self._rows - have) / self._rows_per_entry)))
        try:
            answer: Any = self._client.xreadgroup(
                GROUP, self.consumer, {STREAM: ">"}, count=count, block=wait_ms
            )
        except redis.ResponseError as error:
            # The stream was deleted under us, for example by FLUSHDB.
            if "NOGROUP" not in str(error):
                raise
            self.prepare()
            return []
        return [entry for _, entries in answer for entry in entries] if answer else []


def _load_key(load_id: str) -> str:
    return load_counts_key(load_id) if load_id else ""
