"""A store with rollups and marts, and streams of traffic with a past."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse.client import connect
from sensors import baselines
from sensors.policy import load
from tests.support.llm_traffic import Stream, write, write_history


@pytest.fixture
def client(built: Settings) -> Iterator[Client]:
    with connect(built) as found:
        yield found


@pytest.fixture
def now() -> datetime:
    """The moment at which a story begins: yesterday at noon, so that what follows has one day's baselines."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=1) + timedelta(hours=12)


@pytest.fixture
def with_past(client: Client, now: datetime) -> Callable[[Sequence[Stream]], None]:
    """Write nine days of each stream up to ``now``, the last 90 minutes in full, and the baselines."""

    def prepare(streams: Sequence[Stream]) -> None:
        for stream in streams:
            write_history(client, stream, now - timedelta(minutes=90), 9)
            write(client, stream, now - timedelta(minutes=90), now, seed=2)
        baselines.refresh(client, now.date(), now.date(), load())

    return prepare
