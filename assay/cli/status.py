"""What runs on a data directory, and whether it does its work."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from assay.cli.supervisor import Service
from assay.settings import Settings

# CPU is measured over this long: shorter is noise at the clock's resolution of 10 ms.
_CPU_WINDOW_S = 1.0


class AlreadyRunningError(RuntimeError):
    """Another ``assay up`` holds this data directory."""


@dataclass(frozen=True)
class ServiceState:
    """One service: CPU in percent of one core and RSS in MB, over its whole process tree."""

    name: str
    healthy: bool
    pid: int | None
    url: str
    detail: str
    cpu_percent: float
    rss_mb: float


@dataclass(frozen=True)
class State:
    """Every service of one ``assay up``."""

    healthy: bool
    services: tuple[ServiceState, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"healthy": self.healthy, "services": [asdict(s) for s in self.services]}


@contextmanager
def hold(settings: Settings) -> Iterator[Path]:
    """Hold the data directory for one ``assay up``; yield the file that its state goes to.

    Raises:
        AlreadyRunningError: another one holds it.
    """
    directory = settings.data_dir / "run"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunningError(
                f"{settings.data_dir} is in use by another `assay up` "
                f"(pid {lock.read().strip() or 'unknown'}); "
                "stop it, or choose another --data-dir and other ports"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        state = _file(settings)
        try:
            yield state
        finally:
            state.unlink(missing_ok=True)


class StateFile:
    """What ``assay up`` lets ``assay status`` know: its processes, and whether all of them are up yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pids: Mapping[str, int] = {}
        self._up = False

    def running(self, pids: Mapping[str, int]) -> None:
        """These services run now, by name and process id."""
        self._pids = pids
        self._write()

    def up(self) -> None:
        """Everything that was to be started is up."""
        self._up = True
        self._write()

    def _write(self) -> None:
        state = {"supervisor": os.getpid(), "up": self._up, "pids": dict(self._pids)}
        scratch = self._path.with_suffix(".tmp")
        scratch.write_text(json.dumps(state), encoding="utf-8")
        scratch.replace(self._path)


async def collect(settings: Settings, services: list[Service]) -> State:
    """Ask every service that ``assay up`` recorded whether it does its work.

    Args:
        settings: of the instance.
        services: every service that may run, with its check; those that were not started are left out.
    """
    path = _file(settings)
    if not path.exists():
        return State(healthy=False, services=())
    recorded = json.loads(path.read_text(encoding="utf-8"))
    pids: dict[str, int] = recorded["pids"]
    started = [service for service in services if service.name in pids]
    problems = await asyncio.gather(*(service.ready() for service in started))
    trees = {"supervisor": _tree(recorded["supervisor"], children=False)}
    trees |= {service.name: _tree(pids[service.name]) for service in started}
    usage = _usage(trees)
    problem = "not running" if not trees["supervisor"] else "" if recorded["up"] else "still starting"
    states = [
        ServiceState(
            name="supervisor",
            healthy=problem == "",
            pid=recorded["supervisor"],
            url="",
            detail=problem,
            cpu_percent=usage["supervisor"][0],
            rss_mb=usage["supervisor"][1],
        )
    ]
    for service, problem in zip(started, problems, strict=True):
        detail = problem or ("" if trees[service.name] else "process is gone")
        cpu, rss = usage[service.name]
        states.append(
            ServiceState(service.name, detail == "", pids[service.name], service.url, detail, cpu, rss),
        )
    return State(healthy=all(s.healthy for s in states), services=tuple(states))


def _file(settings: Settings) -> Path:
    return settings.data_dir / "run" / "state.json"


def _tree(pid: int, *, children: bool = True) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *(process.children(recursive=True) if children else [])]
    except psutil.NoSuchProcess:
        return []


def _usage(trees: Mapping[str, list[psutil.Process]]) -> dict[str, tuple[float, float]]:
    """(CPU %, RSS MB) per tree, all measured over the same window."""
    before = {name: _cpu_s(tree) for name, tree in trees.items()}
    began = time.monotonic()
    time.sleep(_CPU_WINDOW_S)
    elapsed = time.monotonic() - began
    return {
        name: (round(max(0.0, _cpu_s(tree) - before[name]) / elapsed * 100, 1), round(_rss_mb(tree), 1))
        for name, tree in trees.items()
    }


def _cpu_s(tree: list[psutil.Process]) -> float:
    total = 0.0
    for process in tree:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _rss_mb(tree: list[psutil.Process]) -> float:
    total = 0
    for process in tree:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6
