"""What ``assay status`` sees of real processes, and the lock on a data directory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.cli.status import AlreadyRunningError, StateFile, collect, hold
from assay.cli.supervisor import Service
from assay.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) as process:
        yield process
        process.kill()


def service(name: str, problem: str = "") -> Service:
    async def ready() -> str:
        return problem

    return Service(name=name, argv=["x"], ready=ready, url=f"http://{name}")


def recorded(file: Path, pid: int) -> StateFile:
    """An instance of one service, all of it up."""
    state = StateFile(file)
    state.running({"one": pid})
    state.up()
    return state


def test_what_is_still_starting_is_not_healthy(settings: Settings, sleeper: subprocess.Popen[bytes]) -> None:
    with hold(settings) as file:
        StateFile(file).running({"one": sleeper.pid})
        state = asyncio.run(collect(settings, [service("one")]))
    assert (state.healthy, state.services[0].detail) == (False, "still starting")


def test_nothing_runs_where_nothing_was_started(settings: Settings) -> None:
    state = asyncio.run(collect(settings, [service("one")]))
    assert state.as_dict() == {"healthy": False, "services": []}


def test_what_was_started_is_asked_and_what_was_not_is_left_out(
    settings: Settings, sleeper: subprocess.Popen[bytes]
) -> None:
    with hold(settings) as file:
        recorded(file, sleeper.pid)
        state = asyncio.run(collect(settings, [service("one"), service("other")])).as_dict()
        assert state["healthy"]
        supervisor, one = state["services"]
        assert (supervisor["name"], supervisor["healthy"]) == ("supervisor", True)
        assert (one["name"], one["healthy"], one["pid"], one["url"], one["detail"]) == (
            *("one", True, sleeper.pid, "http://one", ""),
        )
        assert one["rss_mb"] > 1
        assert one["cpu_percent"] >= 0
    assert asyncio.run(collect(settings, [service("one")])).services == ()


def test_a_service_that_says_what_is_wrong_is_not_healthy(
    settings: Settings, sleeper: subprocess.Popen[bytes]
) -> None:
    with hold(settings) as file:
        recorded(file, sleeper.pid)
        state = asyncio.run(collect(settings, [service("one", "queue is full")]))
    assert (state.healthy, state.services[1].detail) == (False, "queue is full")


def test_a_service_whose_process_is_gone_is_not_healthy(settings: Settings) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with hold(settings) as file:
        recorded(file, ended.pid)
        state = asyncio.run(collect(settings, [service("one")]))
    assert (state.healthy, state.services[1].detail) == (False, "process is gone")


def test_a_data_directory_is_held_by_one(settings: Settings) -> None:
    with (
        hold(settings),
        pytest.raises(AlreadyRunningError, match=r"in use by another `assay up` \(pid \d+\)"),
        hold(settings),
    ):
        pytest.fail("held twice")
    with hold(settings):
        pass
