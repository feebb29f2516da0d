"""Live traffic through the real collector into the queue."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import redis

from assay.collector.envelope import Envelope
from assay.collector.queue import FIELD, STREAM, decode
from assay.contracts.records import Deployment, Span
from assay.settings import Settings
from assay.simulator import incident, live
from assay.simulator.incident import Incident
from tests.support.processes import answers, free_port, python, running
from tests.support.stores import Valkey


@pytest.fixture
def settings(migrated: Settings, valkey: Valkey, tmp_path: Path) -> Iterator[Settings]:
    """A collector with a queue of its own; tenant acme lets its text out."""
    url, port = valkey.url.rsplit("/", 1)[0] + "/9", free_port()
    found = migrated.model_copy(update={"redis_url": url, "collector_port": port})
    env = {
        **os.environ,
        "ASSAY_CLICKHOUSE_URL": found.clickhouse,
        "ASSAY_CLICKHOUSE_DATABASE": found.clickhouse_database,
        "ASSAY_REDIS_URL": url,
        "ASSAY_COLLECTOR_PORT": str(port),
    }
    with redis.Redis.from_url(url) as queue:
        queue.flushdb()
    ready = answers(f"http://127.0.0.1:{port}/readyz")
    with running(python("assay.collector"), ready=ready, log=tmp_path / "log.txt", env=env):
        yield Settings(**found.model_dump(include={"redis_url", "collector_port", "clickhouse_url"}))


def queued(settings: Settings) -> list[Envelope]:
    with redis.Redis.from_url(settings.redis) as queue:
        return [decode({FIELD: entry[FIELD]}) for _, entry in queue.xrange(STREAM)]


def test_traffic_arrives_marked_as_simulated_and_the_incident_follows_its_deployment(
    settings: Settings,
) -> None:
    now = datetime.now(UTC)
    with redis.Redis.from_url(settings.redis) as state:
        incident.schedule(state, Incident(now + timedelta(seconds=1.5), now + timedelta(minutes=5)))
    sent = asyncio.run(live.run(settings, rate=60, duration_s=4))
    envelopes = queued(settings)
    assert {envelope.source for envelope in envelopes} == {"simulator"}
    assert not any(envelope.rejects for envelope in envelopes)
    records = [record for envelope in envelopes for record in envelope.decode()]
    spans = [record for record in records if isinstance(record, Span)]
    assert len(spans) == sent > 60
    (deployed,) = [record for record in records if isinstance(record, Deployment)]
    assert (deployed.tenant_id, deployed.prompt_template_version) == ("acme", "rag-answer-v3")
    moved = {span.model for span in spans if span.prompt_template_version == "rag-answer-v3"}
    assert moved == {"claude-haiku-4-5", "claude-sonnet-4-5"}
    assert all(now - timedelta(minutes=5) < span.timestamp <= datetime.now(UTC) for span in spans)
    with redis.Redis.from_url(settings.redis) as state:
        beat = state.hgetall(live.STATUS)
    assert (int(beat[b"sent"]), beat[b"incident"]) == (sent, b"1")


def test_nothing_is_lost_while_the_collector_is_away(settings: Settings) -> None:
    away = settings.model_copy(update={"collector_port": free_port()})

    async def both() -> tuple[int, int]:
        async with (
            live.httpx.AsyncClient(timeout=5, trust_env=False) as http,
            redis.asyncio.Redis.from_url(settings.redis) as state,
        ):
            simulator = live.Simulator(away, 50, http=http, state=state, seed=1)
            lost = await simulator.run(asyncio.Event(), duration_s=1.2)
            waiting = len(simulator._waiting["spans"])
            simulator._settings = settings
            await simulator.run(asyncio.Event(), duration_s=0.1)
            assert lost == 0
            return waiting, simulator.sent

    waiting, sent = asyncio.run(both())
    assert sent >= waiting > 0


@pytest.mark.parametrize(
    ("seconds", "announced", "on"),
    [(-30, False, False), (-10, True, False), (0, True, True), (59, True, True), (60, False, False)],
)
def test_an_incident_is_announced_before_it_is_on_and_ends(seconds: float, announced: bool, on: bool) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    planned = Incident(start, start + timedelta(minutes=1))
    now = start + timedelta(seconds=seconds)
    assert (planned.announced(now), planned.on(now)) == (announced, on)


def test_a_call_is_reported_when_it_is_over() -> None:
    simulator = live.Simulator(Settings(), 1, http=None, state=None, seed=3)  # type: ignore[arg-type]
    now = datetime.now(UTC)
    calls = simulator.draw(200, now, on=False)
    ends = calls.at_us + (calls.latency_ms * 1000).astype(np.int64)
    assert (np.abs(ends - now.timestamp() * 1e6) < 2).all()
