"""Prices beside the list at ingest: taken up while the writer runs, the same for a block that is rebuilt."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis

from assay.collector.writer import keys, lock, prices
from assay.collector.writer.lock import Exclusive, UnfinishedBlockError
from assay.collector.writer.prices import PriceBook
from assay.contracts.records import Tokens
from assay.pricing import store
from assay.pricing.overrides import Override
from assay.pricing.reprice import reprice
from assay.pricing.table import PriceTable
from assay.warehouse import corrections
from tests.support.processes import wait_for
from tests.support.writing import COST, NOW, Bench, span


def contract(**fields: Any) -> Override:
    given: dict[str, Any] = {
        "tenant_id": "org_1",
        "token_class": "output",
        "price_usd": Decimal(20),
        "valid_from": NOW - timedelta(days=30),
        "source": "contract",
    }
    return Override(**{**given, **fields})


# 1,000 output tokens at 20 instead of 15 a million.
NEGOTIATED = COST + Decimal("0.005")


def costs(bench: Bench) -> dict[str, Decimal | None]:
    return dict(bench.rows("SELECT trace_id, cost_usd FROM llm_traces FINAL"))  # type: ignore[arg-type]


def test_a_price_is_taken_up_while_the_writer_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "REFRESH_S", 0.1)
    with bench.running():
        bench.send("span", span(0))
        bench.wait_empty()
        row = contract()
        store.add(bench.store, row)
        numbers = iter(range(1, 1_000))

        def taken_up() -> bool:
            bench.send("span", span(next(numbers)), span(next(numbers), tenant_id="org_2"))
            bench.wait_empty()
            return NEGOTIATED in costs(bench).values()

        wait_for(taken_up, "the negotiated price", 30)
    sources = bench.rows("SELECT DISTINCT price_source, tenant_id FROM llm_traces WHERE cost_usd > 0.025")
    assert [(source.endswith(f"override {row.id}"), tenant) for source, tenant in sources] == [
        (True, "org_1")
    ]
    assert costs(bench)["t0"] == COST


def test_units_and_cache_writes_of_an_hour_are_charged(bench: Bench) -> None:
    store.add(bench.store, contract(token_class="tool_call", price_usd=Decimal("0.01")))
    tokens = Tokens(prompt=10_000, completion=1_000, cached=5_000, cache_write=4_000, cache_write_1h=3_000)
    bench.send("span", span(0, tokens=tokens, units={"tool_call": Decimal(2)}, modality="text"))
    bench.drain()
    # 0.04125 as in the golden table, and two calls of a tool.
    assert bench.one("SELECT cost_usd, cost_status, modality, cache_write_1h_tokens FROM llm_traces") == (
        Decimal("0.06125"),
        "priced",
        "text",
        3_000,
    )


def test_a_rebuilt_block_costs_what_it_did_at_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The raw rows are in, the rollups are not, and a new price has come between."""
    from assay.collector.writer.store import Store

    class CrashError(Exception):
        pass

    insert = Store.insert

    def cut(self: Store, table: str, rows: Any, token: str) -> None:
        insert(self, table, rows, token)
        raise CrashError

    bench.send("span", span(0))
    monkeypatch.setattr(Store, "insert", cut)
    with pytest.raises(CrashError), bench.running():
        wait_for(bench.died.is_set, "the crash", 20)
    monkeypatch.setattr(Store, "insert", insert)
    store.add(bench.store, contract())
    # As if the insert had reached nothing: the rebuilt rows are all that is there.
    bench.store.command("TRUNCATE TABLE llm_traces")
    for grain in ("1min", "1h", "1d"):
        bench.store.command(f"TRUNCATE TABLE llm_kpi_{grain}")
    bench.store.command("ALTER TABLE llm_traces MODIFY SETTING non_replicated_deduplication_window = 0")
    bench.drain()
    assert costs(bench) == {"t0": COST}


def test_the_last_known_prices_hold_while_fewer_are_seen(bench: Bench) -> None:
    """While dbt loads the project's rows anew there are none for a moment."""
    store.add(bench.store, contract())
    book = PriceBook(bench.queue)
    assert len(book.current(bench.store).rows) == 1
    bench.store.command("TRUNCATE TABLE price_overrides")
    book._next = 0.0
    assert len(book.current(bench.store).rows) == 1
    book._next = 0.0
    assert book.current(bench.store).rows == (), "seen twice, it is so"


def test_repricing_while_records_arrive(bench: Bench) -> None:
    """Raw table and rollups are the same afterwards, with a writer that corrects rows as well."""
    bench.send("span", *(span(i) for i in range(200)))
    bench.drain()
    table = PriceTable([contract()])
    stop = threading.Event()

    def traffic() -> None:
        number = 1_000
        # One child for each stored span at the most: a child of nothing would be billed.
        while number < 1_200 and not stop.wait(0.02):
            # Children of spans that are stored and being repriced: these are not billed any more.
            bench_number = number - 1_000
            bench.send("span", span(number, trace_id=f"t{bench_number}", parent_span_id=f"s{bench_number}"))
            number += 1

    thread = threading.Thread(target=traffic)
    with bench.running():
        thread.start()
        try:
            first, last = NOW - timedelta(days=1), NOW + timedelta(days=1)
            for _ in range(3):
                reprice(bench.store, table, first, last, guard=Exclusive(bench.settings.redis, bench.store))
                reprice(
                    bench.store, PriceTable(), first, last, guard=Exclusive(bench.settings.redis, bench.store)
                )
        finally:
            stop.set()
            thread.join()
        bench.wait_empty()
    calls, billed = bench.one("SELECT count(), countIf(billed) FROM llm_traces FINAL")
    assert 200 < calls <= 400
    assert billed == 200
    bench.assert_exact(calls, billed=billed)


def test_the_writer_finishes_a_correction_that_was_cut_off_before_it_changes_rows(bench: Bench) -> None:
    bench.send("span", span(0))
    bench.drain()

    class Dying:
        def __getattr__(self, name: str) -> Any:
            return getattr(bench.store, name)

        def command(self, sql: str, **options: Any) -> Any:
            if "MOVE PARTITION" in sql:
                raise ConnectionError
            return bench.store.command(sql, **options)

    with pytest.raises(ConnectionError):
        corrections.correct(
            Dying(),  # type: ignore[arg-type]
            "llm_traces",
            correction_id="cut",
            where="1",
            new={"cost_usd": "toDecimal128('1', 12)"},
            reason="another price",
            actor="test",
            guard=Exclusive(bench.settings.redis, bench.store),
        )
    assert bench.queue.exists(keys.CORRECTING)
    # The child makes the corrected span one that is not billed.
    bench.send("span", span(1, trace_id="t0", parent_span_id="s0"))
    bench.drain()
    assert not bench.queue.exists(keys.CORRECTING)
    bench.assert_exact(2, billed=1)
    assert bench.rows("SELECT span_id, cost_usd, billed FROM llm_traces FINAL ORDER BY span_id") == [
        ("s0", Decimal(1), False),
        ("s1", COST, True),
    ]


def test_a_correction_waits_for_a_block_that_is_half_stored(bench: Bench) -> None:
    bench.queue.hset(keys.NOTE, mapping={"token": "t", "body": b""})
    guard = Exclusive(bench.settings.redis, bench.store, patience_s=0.1)
    with pytest.raises(UnfinishedBlockError, match="start one"), guard():
        pass
    assert not bench.queue.exists(keys.LOCK), "the lock is free again"


def test_the_lease_is_renewed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_RENEW_S", 0.05)
    with Exclusive(bench.settings.redis, bench.store)():
        bench.queue.pexpire(keys.LOCK, 500)
        wait_for(lambda: int(bench.queue.pttl(keys.LOCK)) > 1_000, "a renewed lease", 10)  # type: ignore[arg-type]
        other = lock.make(redis.Redis.from_url(bench.settings.redis))
        assert not other.acquire(blocking=False)
    assert other.acquire(blocking=False)
    other.release()
