"""The writer's loop."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import msgspec
import pyarrow as pa
import redis
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from assay.collector.writer import lock
from assay.collector.writer.batch import Batch, decode
from assay.collector.writer.block import Block
from assay.collector.writer.build import build
from assay.collector.writer.decision import Decision, Note, decide, recall
from assay.collector.writer.intake import Intake
from assay.collector.writer.keeper import Keeper, Status
from assay.collector.writer.parking import Parking
from assay.collector.writer.prices import PriceBook
from assay.collector.writer.store import Store

_TAKE_OVER_S: Final = 2.0
_RELEASE_S: Final = 0.5
_log = logging.getLogger("assay.writer")

T = TypeVar("T")


class LockLostError(RuntimeError):
    """The lease ran out before the block was noted: nothing was stored, it is decided again."""


# What passes: the store or the queue is away, restarts, or has no room. Anything else is a fault of this
# program.
_OUTAGE: Final = (ClickHouseError, redis.RedisError, pa.ArrowException, OSError, LockLostError)


class Writer:
    """Stores what is in the queue.

    Args:
        queue: makes a Redis client that answers bytes.
        store: makes a ClickHouse client.
        consumer: name in the group, of this process alone.
        rows: a block is full with this many.
        wait_s: an entry waits this long for others.
        idle_s: without entries the loop turns this often.
    """

    def __init__(
        self,
        queue: Callable[[], redis.Redis],
        store: Callable[[], Client],
        consumer: str,
        *,
        rows: int = 20_000,
        wait_s: float = 1.0,
        idle_s: float = 1.0,
    ) -> None:
        client = queue()
        self.status = Status(consumer)
        self._connect_store = store
        self._store: Store | None = None
        self._intake = Intake(client, consumer, rows=rows, wait_s=wait_s, idle_s=idle_s)
        self._parking = Parking(client)
        self._queue = client
        self._prices = PriceBook(client)
        self._lock = lock.make(client)
        self._keeper = Keeper(queue(), self.status, self._lock)
        self._stop = threading.Event()
        self._next_take_over = 0.0
        self._next_release = 0.0

    def stop(self) -> None:
        """Finish the running block, then leave :meth:`run`. Safe in a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Store blocks until :meth:`stop`."""
        self._keeper.start()
        try:
            self._patiently(self._intake.prepare)
            while not self._stop.is_set():
                batch = self._patiently(self._next)
                if batch is not None and batch.entries:
                    self._patiently(partial(self.store, Block.of(batch), secrets.token_hex(16)))
        finally:
            self._keeper.close()

    def store(self, block: Block, token: str) -> None:
        """Store a block, or finish storing it. May be called again after any error.

        Raises:
            ClickHouseError, RedisError, ArrowException, OSError, LockLostError: try again.
        """
        store = self._connected()
        prices = self._prices.current(store.client)
        with self._lock:
            for correction_id in lock.finish_correction(self._queue, store.client):
                _log.warning("finished the correction %s, which was cut off", correction_id)
            noted = self._intake.note()
            if noted is not None and noted[0] != token:
                self._complete(*noted, store)
                noted = None
            if noted is None:
                left = self._still_queued(block)
                if not left.batch.entries:
                    return
                decision = decide(left, store, self._parking, prices)
                body = msgspec.msgpack.encode(decision.note(left))
                lock_token = self._lock.local.token
                if lock_token is None or not self._intake.write_note(lock_token, token, body):
                    raise LockLostError("the lock's lease ran out")
                self._insert(left, decision, token, store)
            else:
                self._complete(*noted, store)

    def _next(self) -> Batch:
        """The next entries, after what is due of the parked and of the dead."""
        now = time.monotonic()
        if now >= self._next_release:
            self._next_release = now + _RELEASE_S
            self._parking.release()
        if now >= self._next_take_over:
            self._next_take_over = now + _TAKE_OVER_S
            if count := self._intake.take_over():
                _log.info("took over %d entries of a writer that is gone", count)
                # There may be more of them.
                self._next_take_over = 0.0
        return self._intake.gather()

    def _complete(self, token: str, body: bytes, store: Store) -> None:
        """Store the noted block, whoever began it."""
        note = msgspec.msgpack.decode(body, type=Note)
        raw = self._intake.read_again(note.entries)
        if len(raw) != len(note.entries):
            # Only someone who deletes from the stream by hand gets here. The entries left are delivered
            # again.
            _log.error(
                "%d of %d entries of an unfinished block are gone from the stream: it cannot be completed",
                len(note.entries) - len(raw),
                len(note.entries),
            )
            self._intake.drop_note()
            return
        block = Block.of(decode(raw))
        prices = self._prices.recall(note.prices, store.client)
        self._insert(block, recall(block, note, store, prices), token, store)

    def _still_queued(self, block: Block) -> Block:
        """The block without entries that another writer has stored: it may have thought this one dead."""
        ids = block.entry_ids
        if len(self._intake.read_again([ids[0], ids[-1]])) == len({ids[0], ids[-1]}):
            return block
        return Block.of(decode(self._intake.read_again(ids)))

    def _insert(self, block: Block, decision: Decision, token: str, store: Store) -> None:
        built = build(block, decision, store)
        for table, rows in built.tables:
            store.insert(table, rows, token)
        if self._intake.finish(token, block.batch.entries, built.parked):
            self.status.blocks += 1
            self.status.rows += built.rows

    def _connected(self) -> Store:
        if self._store is None:
            self._store = Store(self._connect_store())
        return self._store

    def _patiently(self, step: Callable[[], T]) -> T | None:
        """Try until it works, however long store or queue are away; None when told to stop instead."""
        retrying = Retrying(
            retry=retry_if_exception_type(_OUTAGE),
            wait=wait_exponential(multiplier=0.1, max=5) + wait_random(0, 0.1),
            stop=lambda _: self._stop.is_set(),
            sleep=self._sleep,
            before_sleep=self._failed,
            retry_error_callback=lambda _: None,
        )
        result = retrying(step)
        if self.status.error:
            _log.info("working again")
            self.status.error = ""
        return result

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _failed(self, state: RetryCallState) -> None:
        error = None if state.outcome is None else state.outcome.exception()
        # One line; a driver's message may carry the server's whole answer.
        text = f"{type(error).__name__}: {error}".split("\n")[0][:500]
        if text != self.status.error:
            _log.warning("trying again: %s", text)
        self.status.error = text
