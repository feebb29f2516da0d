"""The supervisor with small real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import psutil
import pytest

from assay.cli.supervisor import Service, StartError, Supervisor
from tests.support.processes import wait_for

SLEEP = "import time; time.sleep(300)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
FAMILY = (
    "import subprocess, sys, time\n"
    "argv = [sys.executable, '-c', 'import time; time.sleep(300)']\n"
    "child = subprocess.Popen(argv, start_new_session=True)\n"
    "open(sys.argv[1], 'w').write(str(child.pid))\n"
    "time.sleep(300)"
)


pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def always() -> str:
    return ""


def when(path: Path) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        return "" if path.exists() else f"{path.name} is not there"

    return check


def service(name: str, code: str, *arguments: str, **options: object) -> Service:
    return Service(name=name, argv=[sys.executable, "-c", code, *arguments], **{"ready": always, **options})  # type: ignore[arg-type]


class Watched:
    """A supervisor, and what it said."""

    def __init__(self, folder: Path, *services: Service) -> None:
        self.said: list[tuple[str, str]] = []
        self.pids: dict[str, int] = {}
        self.supervisor = Supervisor(
            services,
            log_dir=folder / "logs",
            report=lambda name, what: self.said.append((name, what)),
            on_change=self._changed,
        )

    def _changed(self, pids: Mapping[str, int]) -> None:
        self.pids = dict(pids)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def test_services_start_in_order_of_readiness_and_stop_the_other_way(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    write = "import sys, time; time.sleep(0.3); open(sys.argv[1], 'w').close(); time.sleep(300)"
    read = "import os, sys, time; assert os.path.exists(sys.argv[1]); time.sleep(300)"
    watched = Watched(
        tmp_path, service("first", write, str(flag), ready=when(flag)), service("second", read, str(flag))
    )
    await watched.supervisor.start()
    pids = watched.pids
    assert list(pids) == ["first", "second"]
    assert not any(gone(pid) for pid in pids.values())
    await watched.supervisor.stop()
    assert all(gone(pid) for pid in pids.values())
    assert [name for name, what in watched.said if what == "stopped"] == ["second", "first"]
    assert watched.pids == {}


async def test_services_started_together_do_not_wait_for_one_another(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    write = "import sys, time; open(sys.argv[1], 'w').close(); time.sleep(300)"
    waits, writes = service("waits", SLEEP, ready=when(flag)), service("writes", write, str(flag))
    watched = Watched(tmp_path, waits, writes)
    await watched.supervisor.start_together([waits, writes])
    await watched.supervisor.stop()
    assert {name for name, what in watched.said if what.startswith("ready")} == {"waits", "writes"}


async def test_what_dies_is_started_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path, service("one", SLEEP))
    await watched.supervisor.start()
    first = watched.pids["one"]
    os.kill(first, signal.SIGKILL)
    await until(lambda: watched.pids.get("one") not in (None, first))
    second = watched.pids["one"]
    assert not gone(second)
    assert ("one", "ended with code -9, restarting in 0 s") in watched.said
    await watched.supervisor.stop()
    assert gone(first)
    assert gone(second)


async def test_a_service_that_ends_at_once_fails_the_start_with_its_last_words(tmp_path: Path) -> None:
    async def never() -> str:
        return "not yet"

    watched = Watched(tmp_path, service("bad", "import sys; sys.exit('no such table')", ready=never))
    with pytest.raises(StartError, match=r"bad ended with code 1.*\n +no such table"):
        await watched.supervisor.start()
    await watched.supervisor.stop()


async def test_a_service_that_is_never_ready_fails_the_start_and_is_stopped(tmp_path: Path) -> None:
    watched = Watched(tmp_path, service("slow", SLEEP, ready=when(tmp_path / "never"), start_timeout_s=0.3))
    with pytest.raises(StartError, match="slow was not ready after 0 s: never is not there"):
        await watched.supervisor.start()
    pid = watched.pids["slow"]
    await watched.supervisor.stop()
    assert gone(pid)


async def test_what_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.cli.supervisor._STOP_TIMEOUT_S", 0.3)
    flag = tmp_path / "flag"
    code = STUBBORN.replace("time.sleep(300)", f"open({str(flag)!r}, 'w').close(); time.sleep(300)")
    watched = Watched(tmp_path, service("stubborn", code, ready=when(flag)))
    await watched.supervisor.start()
    pid = watched.pids["stubborn"]
    await watched.supervisor.stop()
    assert gone(pid)


async def test_children_that_left_the_group_are_stopped_too(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    watched = Watched(tmp_path, service("family", FAMILY, str(noted), ready=when(noted)))
    await watched.supervisor.start()
    await until(lambda: noted.read_text() != "")
    child = int(noted.read_text())
    assert not gone(child)
    await watched.supervisor.stop()
    await until(lambda: gone(child))


async def test_what_a_service_starts_while_it_stops_is_stopped_too(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    stops = FAMILY.replace("time.sleep(300)", "time.sleep(0.5)")
    code = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (exec({stops!r}, globals()), sys.exit()))\n"
        "open(sys.argv[2], 'w').close()\n"
        "while True: time.sleep(1)"
    )
    ready = tmp_path / "ready"
    watched = Watched(tmp_path, service("late", code, str(noted), str(ready), ready=when(ready)))
    await watched.supervisor.start()
    await watched.supervisor.stop()
    child = int(noted.read_text())
    await until(lambda: gone(child))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_a_service_whose_supervisor_is_gone_before_it_begins_does_not_begin(tmp_path: Path) -> None:
    noted, lives = tmp_path / "pid", tmp_path / "lives"
    code = f"""
import os, time
from pathlib import Path
from assay.cli.supervisor import die_with_parent
parent = os.getpid()
if os.fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.01)
    Path({str(noted)!r}).write_text(str(os.getpid()))
    die_with_parent(parent)
    Path({str(lives)!r}).touch()
    time.sleep(300)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    wait_for(lambda: noted.exists() and noted.read_text() != "", "the service's pid")
    wait_for(lambda: gone(int(noted.read_text())), "the service's end")
    assert not lives.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
@pytest.mark.parametrize("sigterm", ["SIG_DFL", "SIG_IGN"])
def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path, sigterm: str) -> None:
    noted = tmp_path / "pid"
    code = f"""
import asyncio, signal, sys
from pathlib import Path
from assay.cli.supervisor import Service, Supervisor
async def ready(): return ""
async def main():
    service = Service(name="one", argv=[sys.executable, "-c", {SLEEP!r}], ready=ready)
    supervisor = Supervisor([service], log_dir=Path({str(tmp_path)!r}), report=print, on_change=lambda pids:
        Path({str(noted)!r}).write_text(str(pids["one"])))
    await supervisor.start()
    await asyncio.sleep(300)
signal.signal(signal.SIGTERM, signal.{sigterm})
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: noted.exists() and noted.read_text() != "", "the service's pid")
        child = int(noted.read_text())
        assert not gone(child)
        process.kill()
    wait_for(lambda: gone(child), "the service's end")
