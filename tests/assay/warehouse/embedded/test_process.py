"""The process: who may connect, how much it takes on, how it starts, stops and survives."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.processes import Running, answers, free_port, python, start, wait_for


@dataclass
class Server:
    """A server of this test alone."""

    directory: Path
    url: str
    running: Running

    def ask(self, sql: str, **url: str) -> httpx.Response:
        return httpx.post(self.url, params=url, content=sql, timeout=60, trust_env=False)


@contextmanager
def served(directory: Path, *arguments: str) -> Iterator[Server]:
    port = free_port()
    argv = python("assay.warehouse.embedded", "--data-dir", str(directory), "--port", str(port), *arguments)
    url = f"http://127.0.0.1:{port}"
    running = start(argv, ready=answers(f"{url}/ping"), log=directory.parent / f"{port}.log")
    try:
        yield Server(directory, url, running)
    finally:
        if running.process.poll() is None:
            running.kill()


SLOW = (
    "SELECT count() FROM numbers(10000000000000) WHERE NOT ignore(sipHash64(number)) SETTINGS max_threads = 1"
)


def test_password_limits_second_process_and_graceful_stop(tmp_path: Path) -> None:
    """One server for all four: a start costs seconds."""
    directory = tmp_path / "store"
    with served(
        directory, "--user", "assay", "--password", "se:cret", "--max-running", "2", "--max-wait", "0.3"
    ) as server:
        # Who may connect.
        for credentials in (
            {"headers": {"x-clickhouse-user": "assay", "x-clickhouse-key": "se:cret"}},
            {"auth": ("assay", "se:cret")},
            {"params": {"user": "assay", "password": "se:cret"}},
        ):
            assert httpx.post(server.url, content="SELECT 1", trust_env=False, **credentials).text == "1\n"  # type: ignore[arg-type]
        for credentials in (
            {},
            {"auth": ("assay", "wrong")},
            {"auth": ("default", "")},
            {"headers": {"authorization": "Basic !!!"}},
            {"headers": {"x-clickhouse-user": "assay"}},
            {"params": {"user": "nobody", "password": "se:cret"}},
        ):
            refused = httpx.post(server.url, content="SELECT 1", trust_env=False, **credentials)  # type: ignore[arg-type]
            assert refused.status_code == 403
            assert refused.headers["x-clickhouse-exception-code"] == "516"
            assert "AUTHENTICATION_FAILED" in refused.text
            assert "se:cret" not in refused.text
        assert httpx.get(f"{server.url}/ping", trust_env=False).status_code == 200

        # Another process on the same directory.
        second = subprocess.run(
            python("assay.warehouse.embedded", "--data-dir", str(directory), "--port", str(free_port())),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert f"{directory} is already served by process {server.running.process.pid}" in second.stderr
        assert "Traceback" not in second.stderr

        # More statements than it takes on.
        key = {"user": "assay", "password": "se:cret"}
        with ThreadPoolExecutor(2) as pool:
            slow = [pool.submit(server.ask, SLOW, max_execution_time="4", **key) for _ in range(2)]

            def refusal() -> bool:
                nonlocal refused
                refused = server.ask("SELECT 1", **key)
                return refused.status_code == 503

            wait_for(refusal, "refusal of a third statement", timeout_s=4)
            assert refused.headers["x-clickhouse-exception-code"] == "202"
            assert refused.headers["retry-after"] == "1"
            assert "TOO_MANY_SIMULTANEOUS_QUERIES" in refused.text
            assert {f.result().status_code for f in slow} == {408}
        assert server.ask("SELECT 1", **key).text == "1\n"

        # Stopped while a statement runs: it gets its answer.
        server.ask("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n", **key)
        found: list[str] = []
        asking = threading.Thread(
            target=lambda: found.append(server.ask("SELECT sleep(1.5), 'done'", **key).text)
        )
        asking.start()
        wait_for(
            lambda: (
                "clickhouse_embedded_running 1.0" in httpx.get(f"{server.url}/metrics", trust_env=False).text
            ),
            "start of the statement",
        )
        # uvicorn finishes what runs, closes the engine, and then ends by the signal that it got.
        assert server.running.stop() == -signal.SIGTERM
        asking.join()
        assert found == ["0\tdone\n"]


def test_kill_9_keeps_every_acknowledged_row(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    acknowledged: set[int] = set()
    with served(directory) as server:
        server.ask("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
        server.ask("CREATE TABLE s (n UInt64) ENGINE = AggregatingMergeTree ORDER BY n")
        server.ask("CREATE MATERIALIZED VIEW v TO s AS SELECT n FROM t")

        def write(first: int) -> None:
            for n in range(first, first + 1000):
                try:
                    if server.ask(f"INSERT INTO t FORMAT CSV\n{n}\n").status_code == 200:
                        acknowledged.add(n)
                except httpx.HTTPError:
                    return

        writers = [threading.Thread(target=write, args=(k * 1000,)) for k in range(3)]
        for writer in writers:
            writer.start()
        wait_for(lambda: len(acknowledged) > 60, "sixty acknowledged inserts")
        server.running.kill()
        for writer in writers:
            writer.join()
    with served(directory) as server:
        stored = {int(n) for n in server.ask("SELECT n FROM t").text.split()}
        assert acknowledged <= stored
        assert {int(n) for n in server.ask("SELECT DISTINCT n FROM s").text.split()} >= acknowledged
        assert server.ask("SELECT count() - uniqExact(n) FROM t").text == "0\n"


def test_a_port_in_use_is_an_error_not_a_hang(tmp_path: Path) -> None:
    with served(tmp_path / "one") as server:
        port = server.url.rsplit(":", 1)[1]
        second = subprocess.run(
            python("assay.warehouse.embedded", "--data-dir", str(tmp_path / "two"), "--port", port),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert second.returncode != 0
    assert "address already in use" in second.stderr


def test_beyond_this_machine_a_password_is_needed(tmp_path: Path) -> None:
    argv = python("assay.warehouse.embedded", "--data-dir", str(tmp_path), "--host", "0.0.0.0")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--host 0.0.0.0" in done.stderr
    assert "--password" in done.stderr
    assert not list(tmp_path.iterdir())
