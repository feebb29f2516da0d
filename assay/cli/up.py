"""``assay up``: every service in the foreground, in order, and none left behind."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from rich.table import Table

from assay.cli import ports, services
from assay.cli.console import stderr
from assay.cli.stand_ins import stand_ins
from assay.cli.status import AlreadyRunningError, StateFile, hold
from assay.cli.supervisor import Service, StartError, Supervisor, die_with_parent, stop_tree
from assay.settings import Settings, load_settings
from orchestration import instance


class StepError(RuntimeError):
    """A step between the services failed; the message says which and why."""


@dataclass
class Plan:
    """What is started, in this order."""

    stand_ins: list[Service] = field(default_factory=list)
    stores: list[Service] = field(default_factory=list)
    workers: list[Service] = field(default_factory=list)
    orchestrators: list[Service] = field(default_factory=list)
    traffic: list[Service] = field(default_factory=list)

    @property
    def all(self) -> list[Service]:
        """Every service."""
        return [*self.stand_ins, *self.stores, *self.workers, *self.orchestrators, *self.traffic]


def plan(settings: Settings, chosen: Sequence[str], stand_ins: Sequence[str], *, demo: bool) -> Plan:
    """The services that were chosen, and what the demo adds."""

    def of(found: list[Service]) -> list[Service]:
        return services.with_environment([s for s in found if s.choice in chosen], settings)

    needed = [s for s in services.simulators(settings) if s.name in stand_ins]
    return Plan(
        stand_ins=services.with_environment(needed, settings),
        stores=of(services.stores(settings)),
        workers=of(services.workers(settings)),
        orchestrators=of(services.orchestrators(settings)),
        traffic=services.with_environment(services.traffic(settings), settings) if demo else [],
    )


async def up(settings: Settings, *, chosen: Sequence[str], demo: bool) -> int:
    """Run the chosen services until SIGINT or SIGTERM; return the exit code."""
    settings, names = stand_ins(settings) if demo else (settings, [])
    try:
        with hold(settings) as path:
            wanted = plan(settings, chosen, names, demo=demo)
            ports.check(settings, [service.name for service in wanted.all])
            return await _supervise(settings, wanted, StateFile(path), demo=demo)
    except (AlreadyRunningError, ports.PortTakenError) as error:
        stderr.print(f"[red]{error}[/]")
        return 1


async def _supervise(settings: Settings, wanted: Plan, state: StateFile, *, demo: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(
        wanted.all,
        log_dir=settings.data_dir / "logs",
        report=lambda name, what: stderr.print(f"  {name}: {what}", highlight=False),
        on_change=state.running,
    )
    work = asyncio.create_task(_bring_up(settings, wanted, supervisor, state, demo=demo))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            await stopped
        return 0
    except (StartError, StepError) as error:
        stderr.print(f"[red]{error}[/]", highlight=False)
        return 1
    finally:
        for task in (work, stopped):
            task.cancel()
        await asyncio.gather(work, stopped, return_exceptions=True)
        stderr.print("Stopping …")
        await supervisor.stop()


async def _bring_up(
    settings: Settings, wanted: Plan, supervisor: Supervisor, state: StateFile, *, demo: bool
) -> None:
    began = time.monotonic()
    stderr.print(
        f"Starting on {settings.data_dir}; logs are in {settings.data_dir / 'logs'}", highlight=False
    )
    # The stand-ins need nothing, and the schema needs ClickHouse alone.
    await supervisor.start_together([*wanted.stores, *wanted.stand_ins])
    if wanted.workers or wanted.orchestrators:
        with stderr.status("Schema and rollups …"):
            done = await _step(settings, "assay.cli.schema")
        stderr.print(f"  schema: {done.strip()}", highlight=False)
    if wanted.orchestrators:
        instance.prepare(settings)
    # Dagster takes longest: it starts while the others do, its own processes one after another.
    await asyncio.gather(supervisor.start_together(wanted.workers), supervisor.start(wanted.orchestrators))
    state.up()
    stderr.print(f"[green]Up after {time.monotonic() - began:.0f} s.[/]", highlight=False)
    _tell(wanted)
    if demo:
        await _demonstrate(settings, wanted, supervisor, began)


async def _demonstrate(settings: Settings, wanted: Plan, supervisor: Supervisor, began: float) -> None:
    await _step(settings, "assay.cli.main", "simulate", "history")
    incident: dict[str, Any] = json.loads(await _step(settings, "assay.cli.main", "simulate", "incident"))
    await supervisor.start(wanted.traffic)
    lines = [
        f"[green]The demo runs after {time.monotonic() - began:.0f} s.[/] Live traffic flows, all simulated.",
        f"At {incident['start'][11:19]} UTC the template rag-answer of tenant acme moves to another model:",
        f"cost × 3, worse answers, until {incident['end'][11:19]}. An alert opens within two minutes:",
        f"  on the screen       {settings.dashboard}",
        *(f"  in the chat channel {s.url}" for s in wanted.stand_ins if s.name == "webhook-sink"),
        "  in a terminal       assay alerts list",
        "Ctrl-C stops everything.",
    ]
    stderr.print("\n".join(lines), highlight=False)
    try:
        # What is built every hour is empty until then, and nobody waits an hour to look at a demo.
        await _step(settings, "assay.warehouse.dbt", "run", "--select", "efficiency_daily")
    except StepError as error:
        stderr.print(
            f"[red]{error}[/] The screen Efficiency has figures from the next hour on.", highlight=False
        )


async def _step(settings: Settings, module: str, *arguments: str) -> str:
    """Run a step in a process of its own, whose memory is given back; return what it printed.

    Raises:
        StepError: it failed; what it said about it went to standard error.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env={**os.environ, **services.environment(settings)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            await stop_tree(process)
    if process.returncode != 0:
        raise StepError(f"{' '.join((module, *arguments))} failed with code {process.returncode}; see above")
    return printed.decode()


def _tell(wanted: Plan) -> None:
    look = {
        "collector": "telemetry in: POST /v1/spans, /v1/traces (OTLP); /readyz, /metrics, /openapi.json",
        "dashboard": "spend, latency, cache and quality by tenant and template; open alerts; /efficiency",
        "dagster-webserver": "assets, freshness, baselines to backfill, the regression sensor",
        "clickhouse": "SQL: assay sql 'SELECT * FROM kpi_hourly LIMIT 10', or any ClickHouse client",
        "valkey": "queue and live state",
        "webhook-sink": "simulated chat channel: what Slack would have received",
        "judge-double": "simulated judge: answers in place of the Anthropic API",
    }
    table = Table("what", "where", "to look at", title="Assay", title_justify="left")
    for service in wanted.all:
        if service.url:
            table.add_row(service.name, service.url, look.get(service.name, ""))
    stderr.print(table)


def supervise(settings: Settings, chosen: Sequence[str], *, demo: bool) -> NoReturn:
    """Become the supervisor: this process, without what the other commands have loaded into it."""
    argv = [sys.executable, "-m", "assay.cli.up", *(["--demo"] if demo else []), *chosen]
    os.execve(sys.executable, argv, {**os.environ, **services.environment(settings)})


def main(argv: Sequence[str] | None = None) -> None:
    """Command line, as :func:`supervise` gives it."""
    parser = argparse.ArgumentParser(prog="assay.cli.up", description=__doc__)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("chosen", nargs="+", choices=services.CHOICES)
    options = parser.parse_args(argv)
    sys.exit(asyncio.run(up(load_settings(), chosen=options.chosen, demo=options.demo)))


if __name__ == "__main__":
    main()
