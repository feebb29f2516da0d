"""What of a tenant is on its way: in the queue, parked, or in the live state beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import msgspec
import redis

from assay.collector import queue
from assay.collector.envelope import Envelope
from assay.collector.queue import GROUP, STREAM
from assay.collector.writer import keys
from assay.contracts.records import Record, Span
from assay.warehouse.occurrences import word

KEYS: Final = "assay:*"
_PAGE: Final = 500
# Looked into record by record, or not at all: the note is gone before anything is removed.
_OWN_WAY: Final = frozenset({STREAM, keys.PARKED, keys.PARKED_DUE, keys.LOCK, keys.NOTE})
_PARKED: Final = re.compile(rb"\d+ \d+ \d+ (.*)", re.DOTALL)

# Which of these traces are the tenant's: records that carry no tenant go by their trace.
TracesAmong = Callable[[Iterable[str]], set[str]]


class Waiting:
    """A tenant's records in the server that holds queue and live state.

    Args:
        client: answering bytes.
        tenant: whose.
        traces_among: asked once per page of entries.
    """

    def __init__(self, client: redis.Redis, tenant: str, traces_among: TracesAmong) -> None:
        self._client = client
        self._tenant = tenant
        self._traces_among = traces_among
        self._word = re.compile(word(tenant).encode())

    def count(self) -> Counter[str]:
        """Records, entries and keys of the tenant, by where they are."""
        found = Counter({STREAM: sum(self._concerned())})
        found[keys.PARKED] = len(self._parked())
        for key in self._client.scan_iter(KEYS, count=_PAGE):
            if key.decode() not in _OWN_WAY:
                found[key.decode()] = self._in_key(key, remove=False)
        return +found

    def remove_parked_and_state(self) -> None:
        """Take out what is parked, and live state that names the tenant."""
        for member in self._parked():
            with self._client.pipeline(transaction=True) as pipe:
                pipe.hdel(keys.PARKED, member)
                pipe.zrem(keys.PARKED_DUE, member)
                pipe.execute()
        for key in self._client.scan_iter(KEYS, count=_PAGE):
            if key.decode() not in _OWN_WAY:
                self._in_key(key, remove=True)

    def remove_queued(self) -> None:
        """Take out what is queued. Only where no writer runs: one that has read an entry stores it.

        A stream keeps the bytes of a deleted entry as long as a neighbour lives. So once there is something
        to take out, every entry is written again, in order: a page is deleted, then its entries are appended.
        The second time deletes what lay beside the first that were appended.
        """
        if next(self._concerned(), None) is None:
            return
        for _ in range(2):
            self._write_queue_again()

    def _write_queue_again(self) -> None:
        client: Any = self._client
        newest = client.xrevrange(STREAM, count=1)
        last = newest[0][0].decode() if newest else "0-0"
        while page := client.xrange(STREAM, max=last, count=_PAGE):
            with client.pipeline(transaction=True) as pipe:
                for entry_id, _ in page:
                    pipe.xack(STREAM, GROUP, entry_id)
                    pipe.xdel(STREAM, entry_id)
                for _, fields in page:
                    left, _ = self._without(queue.decode(fields))
                    if left.rejects or left.decode():
                        pipe.xadd(STREAM, {**fields, **queue.encode(left)})
                pipe.execute()

    def rewrite_log(self) -> None:
        """Have the server write its append-only file anew: every command since the last time stands in it."""
        client: Any = self._client
        state = client.info("persistence")
        if state["aof_enabled"] and not state["aof_rewrite_in_progress"]:
            client.bgrewriteaof()

    def _concerned(self) -> Iterator[int]:
        """Of every entry with something of the tenant, how many records."""
        after = "-"
        client: Any = self._client
        while page := client.xrange(STREAM, min=after, count=_PAGE):
            for _, fields in page:
                if count := self._without(queue.decode(fields))[1]:
                    yield count
            after = f"({page[-1][0].decode()}"

    def _parked(self) -> list[bytes]:
        """Names of the parked records of the tenant."""
        found = []
        for member, value in self._client.hscan_iter(keys.PARKED, count=_PAGE):
            parked = _PARKED.fullmatch(value)
            if parked and self._without(queue.decode({queue.FIELD: parked[1]}))[1]:
                found.append(member)
        return found

    def _without(self, envelope: Envelope) -> tuple[Envelope, int]:
        """The envelope without the tenant's records and rejects, and how many those were."""
        records = envelope.decode()
        theirs = self._traces_among(_trace(r) for r in records if _trace(r) and _tenant(r) is None)
        left = [(r, None if self._is_own(r, theirs) else self._unnamed(r)) for r in records]
        kept = [new for _, new in left if new is not None]
        rejects = [r for r in envelope.rejects if not self._names(r.payload)]
        count = sum(new is not old for old, new in left) + len(envelope.rejects) - len(rejects)
        tenants = [t for t in envelope.tenants if t != self._tenant]
        if envelope.tenants and not tenants:
            # Of a key of this tenant alone.
            return msgspec.structs.replace(envelope, records=b"\x90", rejects=[], tenants=[]), (
                len(records) + len(envelope.rejects)
            )
        encoded = Envelope.of(envelope.kind, envelope.source, kept).records
        return msgspec.structs.replace(envelope, records=encoded, rejects=rejects, tenants=tenants), count

    def _unnamed(self, record: Record) -> Record:
        """Assay's own calls of a judge stay, being spend; whom they were about goes."""
        given = record.attributes if isinstance(record, Span) else None
        if not given or given.get("judged.tenant_id") != self._tenant:
            return record
        attributes = {k: v for k, v in given.items() if not k.startswith("judged.")}
        return msgspec.structs.replace(record, attributes=attributes)

    def _is_own(self, record: Record, theirs: set[str]) -> bool:
        tenant = _tenant(record)
        return tenant == self._tenant if tenant is not None else _trace(record) in theirs

    def _names(self, value: bytes) -> bool:
        return self._word.search(value) is not None

    def _in_key(self, key: bytes, *, remove: bool) -> int:
        """Live state that names the tenant: the whole key, or what in it does."""
        client: Any = self._client
        if self._names(key):
            return int(client.delete(key)) if remove else 1
        named: list[bytes] = []
        match client.type(key):
            case b"string" if self._names(client.get(key) or b""):
                named, drop = [key], client.delete
            case b"hash":
                named = [f for f, v in client.hscan_iter(key) if self._names(f) or self._names(v)]
                drop = partial(client.hdel, key)
            case b"set":
                named, drop = [m for m in client.sscan_iter(key) if self._names(m)], partial(client.srem, key)
            case b"zset":
                named, drop = (
                    [m for m, _ in client.zscan_iter(key) if self._names(m)],
                    partial(client.zrem, key),
                )
        if named and remove:
            drop(*named)
        return len(named)


def _tenant(record: Record) -> str | None:
    found = getattr(record, "tenant_id", None)
    return found if isinstance(found, str) and found else None


def _trace(record: Record) -> str:
    return str(getattr(record, "trace_id", ""))
