"""The collector as its users meet it: a process of its own, a real Valkey behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis

from assay.collector import queue
from assay.collector.envelope import Envelope
from assay.contracts.records import Record
from tests.support.processes import answers, free_port, python, running
from tests.support.stores import Valkey


@dataclass(frozen=True)
class Collector:
    """A running collector and the queue behind it."""

    url: str
    http: httpx.Client
    queue: redis.Redis

    def envelopes(self) -> list[Envelope]:
        """What is in the queue."""
        return [queue.decode(entry) for _, entry in self.queue.xrange(queue.STREAM)]

    def records(self) -> list[Record]:
        """Every accepted record in the queue."""
        return [record for envelope in self.envelopes() for record in envelope.decode()]


@pytest.fixture(scope="session")
def collector_process(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a collector on a database of its own; no store behind it, so that no text may be kept."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {
        "ASSAY_COLLECTOR_PORT": str(port),
        "ASSAY_REDIS_URL": valkey.url.replace("/0", "/7"),
        "ASSAY_CLICKHOUSE_URL": f"http://127.0.0.1:{free_port()}",
        "ASSAY_MAX_BODY_BYTES": str(1 << 20),
        "ASSAY_MAX_DECODED_BYTES": str(8 << 20),
    }
    log = tmp_path_factory.mktemp("collector") / "log.txt"
    with running(python("assay.collector"), ready=answers(f"{url}/readyz"), log=log, env=env):
        yield url
    assert "Traceback" not in log.read_text()


@pytest.fixture
def collector(collector_process: str, valkey: Valkey) -> Iterator[Collector]:
    """The collector with an empty queue."""
    with (
        httpx.Client(base_url=collector_process, trust_env=False, timeout=20) as http,
        redis.Redis.from_url(valkey.url.replace("/0", "/7")) as client,
    ):
        client.delete(queue.STREAM)
        yield Collector(collector_process, http, client)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a process of this test alone writes its log."""
    return tmp_path / "log.txt"
