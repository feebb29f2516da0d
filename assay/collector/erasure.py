"""A tenant's erasure: queue, parked records, live state and store, verified and on record.

An erasure that could not take everything says so: at the end everything is read again, and the rest is named.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import redis
from clickhouse_connect.driver.client import Client

from assay.collector.queue import STREAM
from assay.collector.waiting import Waiting
from assay.collector.writer import keys
from assay.collector.writer.lock import Exclusive
from assay.settings import Settings
from assay.warehouse import occurrences
from assay.warehouse.client import connect
from assay.warehouse.erasure import ERASED, Erasure, digest

# What arrives while the first pass is at work is the second's.
_PASSES: Final = 3
_POLL_S: Final = 0.1


class NamesTenantError(ValueError):
    """The record of an erasure would itself name the tenant."""


@dataclass(frozen=True)
class Place:
    """Where something of the tenant was: a column of a table, or a key of the queue's server.

    Attributes:
        found, left: rows, records or entries, before and after.
    """

    name: str
    found: int
    left: int


@dataclass(frozen=True)
class Report:
    """What an erasure did.

    Attributes:
        elsewhere: rows of other tenants in which the same word occurs, by column: they are theirs, and stay.
    """

    erasure_id: str
    tenant: str
    places: list[Place]
    elsewhere: dict[str, int]

    @property
    def complete(self) -> bool:
        """Whether nothing is left."""
        return not any(place.left for place in self.places)


@dataclass(frozen=True)
class Found:
    """What there is of a tenant, by place, and where the same word stands in rows of others."""

    places: Counter[str]
    elsewhere: dict[str, int]


def find(settings: Settings, tenant: str) -> Found:
    """What an erasure would take; changes nothing."""
    with connect(settings) as store, redis.Redis.from_url(settings.redis) as client:
        erasure = Erasure(store, tenant, erasure_id="", reason="", actor="")
        return _find(store, Waiting(client, tenant, erasure.traces_among), tenant)


def erase_tenant(settings: Settings, tenant: str, *, by: str, reason: str, patience_s: float = 60) -> Report:
    """Take a tenant out of everything; return what was found and what is left.

    Args:
        settings: where queue and store are.
        tenant: whose records go.
        by: who asked for it, for the record.
        reason: why, for the record.
        patience_s: how long a running writer may take to store what is queued already.

    Raises:
        NamesTenantError: ``by`` or ``reason`` would keep the id on record.
        ErasureError: the store could not carry out a step; repeat it.
    """
    for option, text in (("--by", by), ("--reason", reason)):
        if re.search(occurrences.word(tenant), text):
            raise NamesTenantError(f"{option} names the tenant, and stays on record: say it without the id")
    erasure_id = secrets.token_hex(8)
    with connect(settings) as store, redis.Redis.from_url(settings.redis) as client:
        exclusive = Exclusive(settings.redis, store)
        erasure = Erasure(store, tenant, erasure_id=erasure_id, reason=reason, actor=by, guard=exclusive)
        waiting = Waiting(client, tenant, erasure.traces_among)
        before = left = _find(store, waiting, tenant)
        _record(store, erasure_id, "begun", tenant, by, reason, before, None)
        for _ in range(_PASSES):
            if not left.places:
                break
            _drain(client, patience_s)
            erasure.remember()
            with exclusive():
                waiting.remove_parked_and_state()
                if not _writers(client):
                    waiting.remove_queued()
            erasure.correct()
            erasure.remove()
            erasure.forget()
            left = _find(store, waiting, tenant, through_views=True)
        waiting.rewrite_log()
        event = "incomplete" if left.places else "finished"
        _record(store, erasure_id, event, tenant, by, reason, before, left)
    names = sorted(before.places | left.places)
    places = [Place(name, before.places[name], left.places[name]) for name in names]
    return Report(erasure_id, tenant, places, left.elsewhere)


def _find(store: Client, waiting: Waiting, tenant: str, *, through_views: bool = False) -> Found:
    places = waiting.count()
    elsewhere: Counter[str] = Counter()
    for found in occurrences.scan(store, tenant, through_views=through_views):
        name = f"{found.table}.{found.column}"
        (elsewhere if found.kind == "others" else places)[name] += found.rows
    return Found(places, dict(elsewhere))


def _writers(client: redis.Redis) -> bool:
    """Whether a writer runs, who may have read entries that are still in the stream."""
    return next(client.scan_iter(keys.alive("*")), None) is not None


def _drain(client: redis.Redis, patience_s: float) -> None:
    """Wait until running writers have stored what is queued now: what they have read, they will store."""
    newest: Any = client.xrevrange(STREAM, count=1)
    deadline = time.monotonic() + patience_s
    while newest and _writers(client) and time.monotonic() < deadline:
        if not client.xrange(STREAM, max=newest[0][0].decode(), count=1):
            return
        time.sleep(_POLL_S)


def _record(
    store: Client,
    erasure_id: str,
    event: str,
    tenant: str,
    by: str,
    reason: str,
    before: Found,
    left: Found | None,
) -> None:
    detail = {
        name.replace(tenant, ERASED): {
            "found": before.places[name],
            "left": left.places[name] if left else None,
        }
        for name in sorted(before.places | (left.places if left else Counter()))
    }
    store.insert(
        "erasures",
        [(erasure_id, event, digest(tenant), by, reason, json.dumps(detail))],
        column_names=["erasure_id", "event", "tenant_sha256", "actor", "reason", "detail"],
    )
