"""The instance's configuration and how its processes are started."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance

from assay.settings import Settings
from orchestration import instance
from tests.support.processes import free_port


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data directory and a port of this test alone."""
    return Settings(data_dir=tmp_path / "data", dagster_port=free_port())


def test_prepare(settings: Settings) -> None:
    """Dagster accepts the configuration; doing it again changes nothing."""
    instance.prepare(settings)
    home = instance.home(settings)
    written = {path: path.read_bytes() for path in home.glob("*.yaml")}
    with DagsterInstance.from_config(str(home)) as found:
        assert found.freshness_enabled
        assert not found.telemetry_enabled
        assert found.run_monitoring_enabled
        assert found.get_concurrency_config().run_queue_config.max_concurrent_runs == 2
        assert str(home) in found.storage_directory()
        # No daemon that would only wake up to find nothing.
        assert set(found.get_required_daemon_types()) == {
            "SENSOR",
            "SCHEDULER",
            "BACKFILL",
            "QUEUED_RUN_COORDINATOR",
            "MONITORING",
            "FRESHNESS_DAEMON",
        }
    instance.prepare(settings)
    assert {path: path.read_bytes() for path in home.glob("*.yaml")} == written


def test_processes(settings: Settings) -> None:
    """One code server for the other two; the webserver where the settings say."""
    code, webserver, daemon = instance.dagster_processes(settings)
    assert [p.name for p in (code, webserver, daemon)] == [
        "dagster-code",
        "dagster-webserver",
        "dagster-daemon",
    ]
    assert webserver.url == settings.dagster
    assert str(settings.dagster_port) in webserver.argv
    (entry,) = instance.workspace_configuration(settings)["load_from"]
    assert entry["grpc_server"]["socket"] in code.argv
    for process in (code, webserver, daemon):
        assert Path(process.argv[0]).is_absolute()
        assert process.env["DAGSTER_HOME"] == str(settings.data_dir / "dagster")
        assert process.env["DAGSTER_DISABLE_TELEMETRY"] == "yes"


def test_not_running_says_so(settings: Settings) -> None:
    """Each check names the address that does not answer."""
    instance.prepare(settings)
    code, webserver, daemon = instance.dagster_processes(settings)
    assert "code.sock" in asyncio.run(code.ready())
    for process in (webserver, daemon):
        assert settings.dagster in asyncio.run(process.ready())


@pytest.mark.parametrize("depth", [1, 40])
def test_socket_path_is_short_enough(tmp_path: Path, depth: int) -> None:
    """A deep data directory gets a socket elsewhere, another one for each directory."""

    def socket_of(name: str) -> str:
        settings = Settings(data_dir=tmp_path.joinpath(*["deep"] * depth, name))
        path: str = instance.workspace_configuration(settings)["load_from"][0]["grpc_server"]["socket"]
        return path

    assert len(socket_of("a").encode()) <= 103
    assert socket_of("a") != socket_of("b")
    assert socket_of("a") == socket_of("a")


def test_workspace_by_hand_has_the_same_location() -> None:
    """`dagster dev` and `assay up` show the same location, so that links and schedules agree."""
    workspace = yaml.safe_load((Path(__file__).parents[2] / "workspace.yaml").read_text())
    (entry,) = workspace["load_from"]
    assert entry["python_module"] == {
        "module_name": "orchestration.definitions",
        "location_name": instance.LOCATION,
    }
