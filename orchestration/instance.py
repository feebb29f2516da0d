"""One Dagster instance in the data directory: its configuration and its processes.

Dagster itself is imported by :func:`prepare` alone: the command line reads this module on every call.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from assay.settings import Settings
from orchestration import readiness

LOCATION = "assay"
_MODULE = "orchestration.definitions"
# Linux takes 107 bytes for the path of a socket, macOS 103.
_MAX_SOCKET_PATH = 100


@dataclass(frozen=True)
class Process:
    """One of Dagster's processes.

    Attributes:
        name: as shown by ``assay status``.
        argv: the command; its first word is a path.
        env: added to the environment.
        ready: answers "" when the process does its work, else what is wrong.
        url: where a person can look at it, if anywhere.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[], Awaitable[str]]
    url: str = ""


def home(settings: Settings) -> Path:
    """``DAGSTER_HOME``."""
    return settings.data_dir / "dagster"


def prepare(settings: Settings) -> None:
    """Write ``dagster.yaml`` and the shared workspace, and create the databases. Repeatable."""
    folder = home(settings)
    folder.mkdir(parents=True, exist_ok=True)
    _socket(settings).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder / "dagster.yaml", instance_configuration(settings))
    _write(folder / "workspace.yaml", workspace_configuration(settings))
    _create_databases(folder)


def instance_configuration(settings: Settings) -> dict[str, Any]:
    """``dagster.yaml``: SQLite, no usage reports, and the limits of a small machine."""
    return {
        "storage": {"sqlite": {"base_dir": str(home(settings) / "storage")}},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "freshness": {"enabled": True},
        # Nothing here is materialised by conditions: without this the daemon evaluates them every 30 s.
        "auto_materialize": {"enabled": False, "use_sensors": False},
        "concurrency": {
            "runs": {"max_concurrent_runs": 2},
            # Assets of one pool (dbt) run one after another.
            "pools": {"default_limit": 1, "granularity": "run"},
        },
        # A run whose process is gone is marked failed, and its place in the queue is free again.
        "run_monitoring": {"enabled": True, "start_timeout_seconds": 180, "poll_interval_seconds": 60},
        # The regression sensor must not wait for another one's query.
        "sensors": {"use_threads": True, "num_workers": 4},
        "schedules": {"use_threads": True, "num_workers": 1},
        "retention": {
            # Every tick here is a skipped one: its reason says what it did.
            "sensor": {"purge_after_days": {"skipped": 1, "failure": 30, "success": 30}},
            "schedule": {"purge_after_days": 90},
        },
    }


def workspace_configuration(settings: Settings) -> dict[str, Any]:
    """One code server for webserver and daemon, which would start one each."""
    return {"load_from": [{"grpc_server": {"socket": str(_socket(settings)), "location_name": LOCATION}}]}


def dagster_processes(settings: Settings) -> list[Process]:
    """Code server, webserver and daemon, in the order of starting. :func:`prepare` comes first."""
    env = {
        "DAGSTER_HOME": str(home(settings)),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "DO_NOT_TRACK": "1",
    }
    workspace = str(home(settings) / "workspace.yaml")
    return [
        Process(
            name="dagster-code",
            argv=[
                *(sys.executable, "-m", "dagster", "code-server", "start"),
                *("--socket", str(_socket(settings)), "--module-name", _MODULE),
                *("--location-name", LOCATION, "--max-workers", "8", "--log-level", "warning"),
                # Runs are started with this Python, wherever `dagster` is on the path.
                "--use-python-environment-entry-point",
            ],
            env=env,
            ready=readiness.code_server(f"unix:{_socket(settings)}"),
        ),
        Process(
            name="dagster-webserver",
            argv=[
                *(sys.executable, "-m", "dagster_webserver", "--workspace", workspace),
                *("--host", settings.host, "--port", str(settings.dagster_port)),
                *("--dagster-log-level", "warning"),
            ],
            env=env,
            ready=readiness.webserver(settings.dagster, LOCATION),
            url=settings.dagster,
        ),
        Process(
            name="dagster-daemon",
            argv=[
                *(sys.executable, "-m", "dagster._daemon", "run", "--workspace", workspace),
                *("--log-level", "warning"),
            ],
            env=env,
            ready=readiness.daemon(settings.dagster),
        ),
    ]


def _create_databases(folder: Path) -> None:
    """Create Dagster's databases, or bring them up to its version: processes that start together get in each
    other's way doing that.
    """
    from dagster import DagsterInstance

    # It prints its progress, which is nobody's business here.
    with (
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
        DagsterInstance.from_config(str(folder)) as instance,
    ):
        instance.upgrade()


def _socket(settings: Settings) -> Path:
    """The code server's socket: in the data directory, or where its path is short enough."""
    path = home(settings) / "run" / "code.sock"
    if len(str(path).encode()) <= _MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"assay-{digest}" / "code.sock"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    note = "# Written by Assay at every start: changes belong in orchestration/instance.py.\n"
    path.write_text(note + yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
