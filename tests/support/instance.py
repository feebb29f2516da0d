"""A whole Assay instance, as ``assay up`` runs it, on free ports and a directory of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import psutil
from clickhouse_connect.driver.client import Client

from tests.support.processes import REPOSITORY, free_port

ASSAY = Path(sys.executable).with_name("assay")
OTLP_PORT = 4318


@dataclass(frozen=True)
class Instance:
    """A running instance.

    Attributes:
        data_dir: its state and logs.
        env: environment in which the ``assay`` command talks to it.
        process: the supervisor.
        log: what ``assay up`` printed.
    """

    data_dir: Path
    env: Mapping[str, str]
    process: subprocess.Popen[bytes]
    log: Path

    def assay(self, *arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        """Run an ``assay`` command against this instance."""
        return subprocess.run(
            [str(ASSAY), *arguments],
            env={**os.environ, **self.env},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def json(self, *arguments: str, timeout_s: float = 240) -> dict[str, Any]:
        """The JSON object that a command prints."""
        done = self.assay(*arguments, timeout_s=timeout_s)
        assert done.stdout.strip(), (
            f"assay {' '.join(arguments)} printed nothing; stderr: {done.stderr[-2000:]}"
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def url(self, service: str) -> str:
        """Base URL of a service (``COLLECTOR``, ``DASHBOARD``, …)."""
        return f"http://127.0.0.1:{self.env[f'ASSAY_{service}_PORT']}"

    def client(self) -> Client:
        """A ClickHouse client on its store."""
        return clickhouse_connect.get_client(
            dsn=f"{self.url('CLICKHOUSE')}/llm", autogenerate_session_id=False
        )

    def wait_for(self, condition: Any, what: str, timeout_s: float) -> None:
        """Wait until ``condition()`` holds.

        Raises:
            AssertionError: it did not in time, or the instance ended; with the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            ended = self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(
                    f"{what}: {'the instance ended' if ended else f'not within {timeout_s:.0f} s'}\n"
                    f"{self.log.read_text(errors='replace')[-4000:]}"
                )
            time.sleep(0.25)

    def healthy(self) -> bool:
        """Whether ``assay status`` says that everything does its work."""
        return self.assay("status", "--json").returncode == 0


@contextmanager
def running_instance(data_dir: Path, *arguments: str, start_timeout_s: float = 180) -> Iterator[Instance]:
    """``assay up ARGUMENTS``, healthy; stopped with SIGINT at the end, after which nothing of it may be left.

    Its collector takes the OTLP port if that is free, so that exporters with default settings find it.
    """
    ports = ("CLICKHOUSE", "VALKEY", "DASHBOARD", "DAGSTER", "JUDGE_DOUBLE")
    env = {f"ASSAY_{name}_PORT": str(free_port()) for name in ports}
    env["ASSAY_WEBHOOK_SINK_PORT"] = str(free_port())
    env["ASSAY_COLLECTOR_PORT"] = str(OTLP_PORT if _is_free(OTLP_PORT) else free_port())
    env["ASSAY_DATA_DIR"] = str(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(ASSAY), "up", *arguments],
            env={**os.environ, **env},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    instance = Instance(data_dir, env, process, log)
    family: list[psutil.Process] = []
    try:
        instance.wait_for(instance.healthy, "healthy services", start_timeout_s)
        yield instance
    finally:
        if process.poll() is None:
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
    left = [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not left, f"left behind after the stop: {[p.cmdline() for p in left]}"
    assert process.returncode == 0, log.read_text(errors="replace")[-4000:]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
