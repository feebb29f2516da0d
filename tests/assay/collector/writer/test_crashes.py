"""A writer that dies, at any step, loses nothing and repeats nothing."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.collector.queue import GROUP, STREAM
from assay.collector.writer import arrow, keys, spans
from assay.collector.writer.batch import Entry
from assay.collector.writer.store import Store
from assay.contracts.records import Evaluation, Feedback, Quality
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.crashing import CrashError, failing
from tests.support.processes import python, start, wait_for
from tests.support.writing import NOW, Bench, span

# Tables of the block below, in the order of insertion.
TABLES = [
    "llm_traces",
    "llm_payloads",
    "llm_evaluations",
    "end_user_feedback",
    "ingest_rejects",
    "ingest_identity",
]


def send_everything(bench: Bench) -> None:
    # Three months: an insert into so many partitions is not one step.
    records = [
        span(
            i,
            timestamp=NOW - timedelta(days=31 * (i % 3)),
            quality=Quality(evaluator="q", score=0.5),
            input="hi",
        )
        for i in range(60)
    ]
    bench.send("span", *records, load="load")
    bench.send("evaluation", Evaluation(trace_id="t1", evaluator="j", score=0.5, timestamp=NOW))
    bench.send("evaluation", Evaluation(trace_id="later", evaluator="j", score=0.5, timestamp=NOW))
    bench.send("feedback", Feedback(trace_id="t1", value=1, timestamp=NOW))
    bench.queue.xadd(STREAM, {"e": b"poison"})


def assert_everything_once(bench: Bench) -> None:
    bench.assert_exact(60)
    assert bench.counts("load") == {"accepted": 60, "duplicates": 0, "rejected": 0}
    assert bench.one("SELECT count() FROM llm_payloads") == (60,)
    assert bench.one("SELECT count() FROM llm_evaluations FINAL") == (61,)
    assert bench.one("SELECT sum(evaluation_count) FROM llm_quality_1d") == (61,)
    assert bench.one("SELECT count() FROM end_user_feedback") == (1,)
    assert bench.one("SELECT count() FROM ingest_rejects") == (1,)
    assert bench.queue.zcard(keys.PARKED_DUE) == 1
    assert not bench.queue.exists(keys.NOTE)
    assert bench.queue.xpending(STREAM, GROUP)["pending"] == 0


@pytest.mark.parametrize("executed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("insert", range(1, len(TABLES) + 1), ids=TABLES)
def test_death_around_an_insert(bench: Bench, insert: int, executed: bool) -> None:
    send_everything(bench)
    with (
        pytest.raises(CrashError),
        bench.running("first", connect_store=failing(bench, insert, executed=executed)),
    ):
        wait_for(bench.died.is_set, "the crash", 20)
    assert bench.queue.xlen(STREAM) == 5
    # Someone else's copies of the same spans must not slip in between.
    bench.send(
        "span", *(span(i, timestamp=NOW - timedelta(days=31 * (i % 3))) for i in range(60)), load="copy"
    )
    bench.drain()
    wait_for(lambda: bench.queue.zcard(keys.PARKED_DUE) == 1, "the parked evaluation", 5)
    assert_everything_once(bench)
    assert bench.counts("copy") == {"accepted": 0, "duplicates": 60, "rejected": 0}


def test_a_rebuilt_block_drops_what_only_some_partitions_have(bench: Bench) -> None:
    send_everything(bench)
    with (
        pytest.raises(CrashError),
        bench.running("first", connect_store=failing(bench, 1, executed=False)),
    ):
        wait_for(bench.died.is_set, "the crash", 20)
    token = bench.queue.hget(keys.NOTE, "token")
    assert token is not None
    # As if the insert had got as far as one of its three months before the server died.
    month = [span(i, timestamp=NOW) for i in range(60) if i % 3 == 0]
    _store_directly(bench, month, token.decode())
    bench.drain()
    wait_for(lambda: bench.queue.zcard(keys.PARKED_DUE) == 1, "the parked evaluation", 5)
    assert_everything_once(bench)


def _store_directly(bench: Bench, records: list[Any], token: str) -> None:
    times = arrow.microseconds([record.timestamp for record in records])
    entries = [Entry("1-1", source="native")] * len(records)
    table = spans.trace_table(records, entries, times, times, np.ones(len(records), np.bool_), NOW)
    Store(bench.store).insert("llm_traces", table, token)


def test_the_store_is_away_for_a_while(bench: Bench) -> None:
    back = threading.Event()

    def connect_late() -> Any:
        return connect(bench.settings if back.is_set() else Settings(clickhouse_url="http://127.0.0.1:1"))

    bench.send("span", span(1))
    with bench.running(connect_store=connect_late) as writer:
        wait_for(lambda: "OperationalError" in writer.status.error, "an error in the status", 20)
        assert bench.queue.xlen(STREAM) == 1
        back.set()
        bench.wait_empty()
        wait_for(lambda: writer.status.error == "", "recovery", 5)
    bench.assert_exact(1)


def test_two_writers_and_the_same_spans(bench: Bench) -> None:
    for start_at in range(0, 2_000, 20):
        bench.send("span", *(span(i) for i in range(start_at, start_at + 50)), load="both")
    with bench.running("a"), bench.running("b"):
        bench.wait_empty()
    bench.assert_exact(2_030)
    assert bench.counts("both") == {"accepted": 2_030, "duplicates": 5_000 - 2_030, "rejected": 0}


def test_entries_of_a_dead_consumer_are_taken_over(bench: Bench) -> None:
    bench.queue.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    bench.send("span", *(span(i) for i in range(10)))
    bench.queue.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=10)
    bench.send("span", *(span(i) for i in range(5, 15)))
    bench.drain()
    bench.assert_exact(15)
    names = [row["name"] for row in bench.queue.xinfo_consumers(STREAM, GROUP)]
    assert len(names) <= 2


def test_killed_again_and_again(bench: Bench, tmp_path: Path) -> None:
    env = {
        "ASSAY_CLICKHOUSE_URL": bench.settings.clickhouse,
        "ASSAY_CLICKHOUSE_DATABASE": bench.settings.clickhouse_database,
        "ASSAY_REDIS_URL": bench.settings.redis,
        "ASSAY_DATA_DIR": str(tmp_path),
    }
    rng = random.Random(7)
    sent = 0

    def send(batches: int) -> None:
        nonlocal sent
        for _ in range(batches):
            # Every batch repeats half of the one before.
            bench.send("span", *(span(i) for i in range(max(0, sent - 100), sent + 100)), load="live")
            sent += 100

    argv = [*python("assay.collector.writer"), "--rows", "700", "--wait", "0.02"]
    for _ in range(4):
        send(30)
        before = bench.queue.xlen(STREAM)
        server = start(argv, ready=lambda: True, log=tmp_path / "log.txt", env=env)
        wait_for(lambda n=before: bench.queue.xlen(STREAM) < n, "the writer to begin", 30)  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.15))
        server.kill()
    bench.queue.delete(keys.STATUS)
    server = start(
        argv, ready=lambda: bool(bench.queue.exists(keys.STATUS)), log=tmp_path / "log.txt", env=env
    )
    bench.wait_empty(60)
    status = bench.queue.hgetall(keys.STATUS)
    assert {b"at", b"blocks", b"rows", b"error", b"waiting", b"pending"} <= set(status)
    assert server.stop() == 0
    bench.assert_exact(sent)
    assert bench.counts("live")["accepted"] == sent
