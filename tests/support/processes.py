"""Start real servers on free ports, and stop them by pid."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

REPOSITORY = Path(__file__).parents[2]


def free_port() -> int:
    """A port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> Callable[[], bool]:
    """Whether ``GET url`` answers 200."""

    def check() -> bool:
        try:
            return httpx.get(url, timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    return check


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
    """Wait until ``condition`` holds.

    Raises:
        TimeoutError: it did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        # Asked before the condition: a machine that stood still has to look once more.
        late = time.monotonic() > deadline
        if condition():
            return
        if late:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.05)


class Running:
    """A server process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 20) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(timeout_s)


def start(
    argv: Sequence[str],
    *,
    ready: Callable[[], bool],
    log: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> Running:
    """Start a process and wait until it is ready.

    Raises:
        RuntimeError: it ended, or was not ready in time; with the end of its log.
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            cwd=REPOSITORY,
        )
    deadline = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            tail = log.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"{' '.join(argv)} did not become ready (exit {process.returncode}):\n{tail}")
        time.sleep(0.05)
    return Running(process, log)


@contextmanager
def running(argv: Sequence[str], **options: object) -> Iterator[Running]:
    """:func:`start`, stopped at the end of the block."""
    server = start(argv, **options)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            try:
                server.process.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this project."""
    return [sys.executable, "-m", module, *arguments]
