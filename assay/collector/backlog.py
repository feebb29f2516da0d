"""How much waits in the queue: what back-pressure, readiness and metrics are decided from."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from assay.collector.queue import GROUP, STREAM

INTERVAL_S: Final = 1.0
# The writer writes into the queue's memory too before it can take anything out: a queue that is full to the
# brim would never empty. A fifth is more than arrives between two looks.
MEMORY_SHARE: Final = 0.8


@dataclass(frozen=True)
class Backlog:
    """The queue at one moment.

    Attributes:
        error: why it cannot be reached; empty when it can.
        entries: batches in the stream.
        lag: batches that no writer has read yet; None before the writer's group exists.
        pending: batches that a writer has read and not yet stored.
        oldest_s: age of the oldest batch that is not stored; None when all are.
        memory: share of the queue's memory limit that is used; None where there is no limit.
        durability: what an acknowledgement is worth.
    """

    error: str = ""
    entries: int = 0
    lag: int | None = None
    pending: int = 0
    oldest_s: float | None = None
    memory: float | None = None
    durability: str = ""


async def look(client: redis.asyncio.Redis) -> Backlog:
    """The queue as it is now."""
    try:
        async with client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.xlen(STREAM)
            pipe.xinfo_groups(STREAM)
            pipe.xpending(STREAM, GROUP)
            pipe.config_get("append*")
            pipe.info("memory")
            now, entries, groups, pending, config, memory = await pipe.execute(raise_on_error=False)
        for answer in (now, entries):
            if isinstance(answer, RedisError):
                return Backlog(error=str(answer))
        group = _group(groups)
        oldest = await _oldest(client, group, pending, entries)
    except (RedisError, OSError) as error:
        return Backlog(error=str(error) or type(error).__name__)
    seconds = now[0] + now[1] / 1e6
    return Backlog(
        entries=entries,
        lag=_lag(group, entries),
        pending=int(group["pending"]) if group else 0,
        oldest_s=None if oldest is None else max(0.0, seconds - oldest / 1000),
        memory=_share(memory),
        durability=_durability(config),
    )


def _group(groups: Any) -> dict[str, Any] | None:
    # An error here is "no such key": nothing was ever queued.
    if isinstance(groups, ResponseError):
        return None
    return next((group for group in groups if _text(group["name"]) == GROUP), None)


def _lag(group: dict[str, Any] | None, entries: int) -> int | None:
    if group is None:
        return entries or None
    lag = group.get("lag")
    return None if lag is None else int(lag)


async def _oldest(
    client: redis.asyncio.Redis, group: dict[str, Any] | None, pending: Any, entries: int
) -> float | None:
    """Unix milliseconds at which the oldest batch that is not stored was queued."""
    found: list[float] = []
    if isinstance(pending, dict) and pending.get("min"):
        found.append(_milliseconds(pending["min"]))
    if entries:
        after = f"({_text(group['last-delivered-id'])}" if group else "-"
        for entry_id, _ in await client.xrange(STREAM, min=after, count=1) or ():
            found.append(_milliseconds(entry_id))
    return min(found, default=None)


def _share(memory: Any) -> float | None:
    if isinstance(memory, RedisError) or not memory.get("maxmemory"):
        return None
    return float(memory["used_memory"]) / float(memory["maxmemory"])


def _durability(config: Any) -> str:
    if isinstance(config, RedisError):
        return f"unknown: the queue does not show its configuration ({config})"
    if config.get("appendonly") != "yes":
        return "appendonly no: acknowledged records are lost when the queue restarts; set appendonly yes"
    match config.get("appendfsync"):
        case "always":
            return "appendfsync always: acknowledged records survive a crash and a power loss"
        case "everysec":
            return (
                "appendfsync everysec: acknowledged records survive a crash of collector and writer; a crash "
                "of the queue while its disk is busy, or a power loss, can cost those of the last two seconds"
            )
        case other:
            return (
                f"appendfsync {other}: acknowledged records survive a crash of any process; "
                "a power loss can cost those that the system has not written yet (about 30 seconds)"
            )


def _milliseconds(entry_id: Any) -> float:
    return float(_text(entry_id).partition("-")[0])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class BacklogWatch:
    """Looks at the queue every second, so that no request has to.

    Args:
        client: of the queue.
        max_entries: batches that may wait.
    """

    def __init__(self, client: redis.asyncio.Redis, max_entries: int) -> None:
        self._client = client
        self._max_entries = max_entries
        self.current = Backlog(error="not looked at yet")
        self.seen_at = time.monotonic()

    async def refresh(self) -> Backlog:
        """Look now."""
        self.current = await look(self._client)
        self.seen_at = time.monotonic()
        return self.current

    async def run(self) -> None:
        """Look every :data:`INTERVAL_S` until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(INTERVAL_S)

    @property
    def full(self) -> bool:
        """Whether no more may wait."""
        return bool(self.why_full)

    @property
    def why_full(self) -> str:
        """Why no more may wait; empty while they may."""
        found = self.current
        if found.entries >= self._max_entries:
            return f"{found.entries} batches wait for the writer, the most allowed is {self._max_entries}"
        if found.memory is not None and found.memory >= MEMORY_SHARE:
            return (
                f"{found.entries} batches wait for the writer and the queue's memory (maxmemory) is "
                f"{found.memory:.0%} full, the most allowed is {MEMORY_SHARE:.0%}"
            )
        return ""
