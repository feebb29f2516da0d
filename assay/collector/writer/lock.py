"""The lock that whoever changes stored rows holds: the writers, and corrections beside them.

What is begun under the lock and cut off is finished by whoever holds it next: a block by its note, a
correction by what it staged (:data:`assay.collector.writer.keys.CORRECTING` says that there is one).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis
from clickhouse_connect.driver.client import Client
from redis.lock import Lock

from assay.collector.writer import keys
from assay.warehouse import corrections

# The lease of the lock is renewed while a block is stored. Should it run out all the same, two writers may
# store the same noted block, which the tables take once: the lease decides about waiting, not about counts.
LOCK_SECONDS: Final = 6.0
_RENEW_S: Final = 1.5
_POLL_S: Final = 0.02
_BLOCK_S: Final = 0.2


class UnfinishedBlockError(RuntimeError):
    """A writer left a block half stored, and none is there to finish it: stored rows must not change now."""


def make(client: redis.Redis) -> Lock:
    """The lock, not held yet."""
    return Lock(client, keys.LOCK, timeout=LOCK_SECONDS, sleep=_POLL_S, thread_local=False)


def renew(lock: Lock) -> None:
    """Prolong the lease, if the lock is held."""
    # The holder may release it between the question and the renewal: then there is nothing to renew.
    if lock.local.token is None:
        return
    try:
        lock.reacquire()
    except redis.exceptions.LockError:
        return


def finish_correction(queue: redis.Redis, store: Client) -> list[str]:
    """Finish a correction that was cut off; return its id. To be called under the lock."""
    if not queue.exists(keys.CORRECTING):
        return []
    finished = corrections.resume(store)
    queue.delete(keys.CORRECTING)
    return finished


class Exclusive:
    """A guard for :mod:`assay.warehouse.corrections`: the writers wait while it is held.

    Args:
        url: of the queue.
        store: for a correction that was cut off and has to be finished first.
        patience_s: how long to wait for a writer to finish a block that is half stored.
    """

    def __init__(self, url: str, store: Client, *, patience_s: float = 60) -> None:
        self._url = url
        self._store = store
        self._patience_s = patience_s

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            UnfinishedBlockError: a block stays half stored.
        """
        with (
            redis.Redis.from_url(self._url) as client,
            redis.Redis.from_url(self._url) as renewing,
            _renewed(make(client), renewing) as lock,
        ):
            self._wait_for_block(client, lock)
            finish_correction(client, self._store)
            client.set(keys.CORRECTING, 1)
            yield
            # Not where the correction failed: then the next holder finishes it.
            client.delete(keys.CORRECTING)

    def _wait_for_block(self, client: redis.Redis, lock: Lock) -> None:
        deadline = time.monotonic() + self._patience_s
        while client.exists(keys.NOTE):
            if time.monotonic() > deadline:
                raise UnfinishedBlockError(
                    "a writer left a block half stored: start one (python -m assay.collector.writer), "
                    "which finishes it, and try again"
                )
            lock.release()
            time.sleep(_BLOCK_S)
            lock.acquire()


@contextmanager
def _renewed(lock: Lock, client: redis.Redis) -> Iterator[Lock]:
    """Hold the lock and keep its lease."""
    lock.acquire()
    done = threading.Event()
    other = make(client)

    def keep() -> None:
        while not done.wait(_RENEW_S):
            other.local.token = lock.local.token
            renew(other)

    thread = threading.Thread(target=keep, name="lease", daemon=True)
    thread.start()
    try:
        yield lock
    finally:
        done.set()
        thread.join()
        if lock.owned():
            lock.release()
