"""The way in alone, as ``assay up`` runs it: stores, collector and writers under the supervisor."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from assay.cli import services
from assay.cli.supervisor import Service, Supervisor
from assay.settings import Settings
from tests.support.processes import free_port

CLICKHOUSE, VALKEY, COLLECTOR, WRITER = "clickhouse", "valkey", "collector", "writer"


@dataclass
class Pipeline:
    """A running pipeline.

    Attributes:
        settings: its ports and directory.
        writers: names of the writers.
        pids: process ids by service, as they are now.
        events: what the supervisor reported, in order.
    """

    settings: Settings
    writers: tuple[str, ...]
    pids: dict[str, int] = field(default_factory=dict)
    events: list[tuple[str, str]] = field(default_factory=list)

    def process(self, service: str) -> psutil.Process | None:
        """The service's process; None while it is down."""
        try:
            found = psutil.Process(self.pids[service])
            return found if found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None

    def log(self, service: str) -> Path:
        """The service's log file."""
        return self.settings.data_dir / "logs" / f"{service}.log"


@asynccontextmanager
async def running_pipeline(data_dir: Path, *, writers: int = 1, **options: object) -> AsyncIterator[Pipeline]:
    """A pipeline with schema and rollups, on free ports and a directory of its own.

    Args:
        data_dir: state and logs.
        writers: how many.
        options: further settings.
    """
    settings = Settings(
        data_dir=data_dir,
        clickhouse_port=free_port(),
        valkey_port=free_port(),
        collector_port=free_port(),
        **options,
    )
    stores = services.with_environment(services.stores(settings), settings)
    workers = _workers(services.with_environment(services.workers(settings), settings), writers)
    pipeline = Pipeline(settings, tuple(s.name for s in workers if s.name.startswith(WRITER)))
    supervisor = Supervisor(
        [*stores, *workers],
        log_dir=settings.data_dir / "logs",
        report=lambda name, what: pipeline.events.append((name, what)),
        on_change=pipeline.pids.update,
    )
    try:
        await supervisor.start_together(stores)
        await _create_schema(settings)
        await supervisor.start_together(workers)
        yield pipeline
    finally:
        await supervisor.stop()


def _workers(found: list[Service], writers: int) -> list[Service]:
    by_name = {service.name: service for service in found}
    writer = by_name[WRITER]
    more = [replace(writer, name=f"{WRITER}-{number}") for number in range(2, writers + 1)]
    return [by_name[COLLECTOR], writer, *more]


async def _create_schema(settings: Settings) -> None:
    environment: Mapping[str, str] = {**os.environ, **services.environment(settings)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "assay.cli.schema"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"no schema: {printed.decode(errors='replace')[-3000:]}")
