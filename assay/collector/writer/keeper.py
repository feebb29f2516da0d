"""What has to go on while a block is being stored: the heartbeat, the consumer's sign of life, the lock's
lease."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any, Final

import redis
from redis.lock import Lock

from assay.collector.queue import GROUP, STREAM
from assay.collector.writer import keys
from assay.collector.writer.intake import ALIVE_MS
from assay.collector.writer.lock import renew

_BEAT_S: Final = 1.5
_log = logging.getLogger("assay.writer")


@dataclass
class Status:
    """What the heartbeat tells. Written by the writer's thread, read by the keeper's."""

    consumer: str
    blocks: int = 0
    rows: int = 0
    error: str = ""


class Keeper:
    """A thread that beats until :meth:`close`.

    Args:
        client: for this thread alone.
        status: what to tell.
        lock: whose lease is renewed while it is held.
    """

    def __init__(self, client: redis.Redis, status: Status, lock: Lock) -> None:
        self._client = client
        self._status = status
        self._lock = lock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop beating; the consumer is known as gone at once."""
        self._stop.set()
        self._thread.join()
        try:
            self._client.delete(keys.alive(self._status.consumer))
        except redis.RedisError as error:
            _log.warning("could not sign off: %s", error)

    def _run(self) -> None:
        silent = False
        while not self._stop.is_set():
            try:
                self._beat()
                silent = False
            except redis.RedisError as error:
                if not silent:
                    _log.warning("no heartbeat: %s", error)
                silent = True
            self._stop.wait(_BEAT_S)

    def _beat(self) -> None:
        self._client.set(keys.alive(self._status.consumer), 1, px=ALIVE_MS)
        renew(self._lock)
        waiting, pending = _backlog(self._client)
        seconds, micros = self._client.time()
        self._client.hset(
            keys.STATUS,
            mapping={
                "at": f"{seconds}.{micros:06d}",
                "consumer": self._status.consumer,
                "blocks": self._status.blocks,
                "rows": self._status.rows,
                "error": self._status.error,
                "waiting": waiting,
                "pending": pending,
            },
        )


def _backlog(client: redis.Redis) -> tuple[int, int]:
    """Entries that no writer has read yet, and entries that are read and not stored."""
    try:
        groups: Any = client.xinfo_groups(STREAM)
    except redis.ResponseError:
        return 0, 0
    for group in groups:
        if group["name"] == GROUP.encode():
            return int(group["lag"] or 0), int(group["pending"])
    return 0, 0
