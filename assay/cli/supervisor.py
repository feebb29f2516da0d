"""Run services in the foreground: start in order, wait until each is ready, restart what dies, stop all.

Written here because no supervisor on PyPI has all three that this needs: a start ordered by readiness, no
process left behind when the supervisor itself is killed, and a process tree per service (Dagster starts
runs).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

# A service that ran this long was healthy: its next restart is immediate again, as the first one is.
_STABLE_S = 60.0
_MAX_BACKOFF_S = 30.0
_STOP_TIMEOUT_S = 15.0
# How often a service that stops is looked at for what it starts meanwhile.
_LOOK_S = 0.05
_PR_SET_PDEATHSIG = 1


class StartError(RuntimeError):
    """A service did not become ready; the message says which, why, and where its log is."""


@dataclass(frozen=True)
class Service:
    """One process to run.

    Attributes:
        name: as given to ``--only`` and shown by ``assay status``.
        argv: the command; its first word is a path.
        ready: answers "" when the service does its work, else what is wrong.
        env: added to the environment.
        group: services of one group are chosen together by ``--only``; empty: its own name.
        url: where a person can look at it, if anywhere.
        start_timeout_s: how long it may take to become ready.
    """

    name: str
    argv: Sequence[str]
    ready: Callable[[], Awaitable[str]]
    env: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    url: str = ""
    start_timeout_s: float = 60.0

    @property
    def choice(self) -> str:
        """The word that selects it in ``--only``."""
        return self.group or self.name


class Supervisor:
    """Keeps services running until :meth:`stop`.

    Args:
        services: in the order of starting; stopping goes the other way.
        log_dir: each service's output goes to ``<name>.log`` in it.
        report: called with a service's name and what happened to it.
        on_change: called with the running process ids by name, whenever they change.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        log_dir: Path,
        report: Callable[[str, str], None],
        on_change: Callable[[Mapping[str, int]], None],
    ) -> None:
        self._services = list(services)
        self._log_dir = log_dir
        self._report = report
        self._on_change = on_change
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self, services: Sequence[Service] | None = None) -> None:
        """Start the services, each as soon as the one before is ready.

        Raises:
            StartError: one ended, or did not become ready in time. The others are left to :meth:`stop`.
        """
        for service in self._services if services is None else services:
            await self._start_one(service)

    async def start_together(self, services: Sequence[Service]) -> None:
        """Start services that do not wait for one another.

        Raises:
            StartError: as for :meth:`start`.
        """
        await asyncio.gather(*(self._start_one(service) for service in services))

    async def stop(self) -> None:
        """Stop everything, last started first; kill what does not stop by itself."""
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for name, process in reversed(list(self._processes.items())):
            await stop_tree(process)
            self._report(name, "stopped")
        self._processes.clear()
        self._on_change({})

    async def _start_one(self, service: Service) -> None:
        began = time.monotonic()
        process = await self._spawn(service)
        while (problem := await service.ready()) != "":
            if process.returncode is not None:
                raise StartError(
                    f"{service.name} ended with code {process.returncode}. {self._last_words(service)}"
                )
            if time.monotonic() - began > service.start_timeout_s:
                raise StartError(
                    f"{service.name} was not ready after {service.start_timeout_s:.0f} s: {problem}. "
                    f"{self._last_words(service)}"
                )
            await asyncio.sleep(0.1)
        self._report(service.name, f"ready in {time.monotonic() - began:.1f} s")
        self._keepers.append(asyncio.create_task(self._keep(service, process)))

    async def _keep(self, service: Service, process: asyncio.subprocess.Process) -> None:
        backoff = None
        while True:
            began = time.monotonic()
            code = await process.wait()
            if self._stopping:
                return
            if backoff is None or time.monotonic() - began > _STABLE_S:
                backoff = 0.0
            else:
                backoff = min(max(1.0, backoff * 2), _MAX_BACKOFF_S)
            self._report(service.name, f"ended with code {code}, restarting in {backoff:.0f} s")
            _kill_group(process.pid)
            await asyncio.sleep(backoff)
            process = await self._spawn(service)

    async def _spawn(self, service: Service) -> asyncio.subprocess.Process:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        with self._log_path(service).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *service.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **service.env},
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        self._processes[service.name] = process
        self._on_change({name: p.pid for name, p in self._processes.items()})
        return process

    def _log_path(self, service: Service) -> Path:
        return self._log_dir / f"{service.name}.log"

    def _last_words(self, service: Service) -> str:
        path = self._log_path(service)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        return "\n".join([f"The end of {path}:", *(f"    {line}" for line in lines)])


def die_with_parent(parent: int) -> None:
    """In the child: be killed by the kernel if the supervisor is (Linux; elsewhere nothing does this).

    Args:
        parent: the supervisor's process id. If it is gone already, the kernel tells nobody any more.
    """
    # Whoever started the supervisor may ignore SIGTERM (`trap '' TERM`), and a child takes that over: it
    # would outlive the supervisor.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


async def stop_tree(process: asyncio.subprocess.Process) -> None:
    """End a service and everything it started, gently first."""
    # Some children leave the group (gRPC servers that Dagster starts): they are ended by pid. A child whose
    # parent is gone is nobody's, so the tree is looked at as long as the service takes to stop.
    try:
        service = {psutil.Process(process.pid)}
    except psutil.NoSuchProcess:
        service = set()
    tree = _descendants(service)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        ends = asyncio.ensure_future(process.wait())
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while not ends.done() and time.monotonic() < deadline:
            await asyncio.wait({ends}, timeout=_LOOK_S)
            tree |= _descendants(service | tree)
    _kill_group(process.pid)
    # What is stopped starts nothing more while the others are being killed.
    found = tree
    while found:
        for child in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.suspend()
        found = _descendants(found) - tree
        tree |= found
    for child in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    await process.wait()


def _descendants(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    """Everything that these have started and that still is theirs."""
    found: set[psutil.Process] = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update(process.children(recursive=True))
    return found


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
