"""One call of a provider counts once, however many instrumentations tell of it, in whatever order."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.collector.writer.identity import Mark
from assay.collector.writer.responses import CLAIMED, RELEASED, Responses, twins
from assay.collector.writer.store import Known
from assay.contracts.records import Span, Tokens
from tests.support.crashing import CrashError, failing
from tests.support.processes import wait_for
from tests.support.writing import COST, NOW, Bench, span

ID = "msg_01XFDUDYJgAACzvnptvVoYEL"


def told(name: str, **fields: Any) -> Span:
    """A span of a trace of its own that tells of the response."""
    return span(0, **{"trace_id": name, "span_id": name, "timestamp": NOW, "response_id": ID, **fields})


# An instrumentation's span, the client's own inside it, and one of another instrumentation apart from both.
AROUND = told("around", trace_id="t")
INSIDE = told("inside", trace_id="t", parent_span_id="around")
APART = told("apart")
ORDERS = [
    pytest.param(order, id="-".join(s.span_id for s in order))
    for order in itertools.permutations([AROUND, INSIDE, APART])
]


def unbilled(bench: Bench) -> dict[str, str]:
    return dict(bench.rows("SELECT span_id, unbilled_reason FROM llm_traces FINAL WHERE NOT billed"))


def assert_once(bench: Bench, spans: int, calls: int) -> None:
    bench.assert_exact(spans, billed=calls)
    assert bench.one("SELECT sum(cost_usd) FROM llm_kpi_1d") == (calls * COST,)
    assert bench.one("SELECT countIf(billed != (unbilled_reason = '')) FROM llm_traces FINAL") == (0,)


@pytest.mark.parametrize("order", ORDERS)
def test_a_block_each(bench: Bench, order: tuple[Span, ...]) -> None:
    for record in order:
        # Each is sent twice, and once more in the next block.
        bench.send("span", record, record)
        bench.send("span", record)
        bench.drain()
        bench.send("span", record)
        bench.drain()
    assert_once(bench, 3, 1)
    left_out = unbilled(bench)
    # Whoever comes first, the one outside of another is not it.
    assert left_out.keys() in ({"around", "inside"}, {"around", "apart"})


@pytest.mark.parametrize("order", ORDERS)
def test_all_in_one_block(bench: Bench, order: tuple[Span, ...]) -> None:
    bench.send("span", *order, order[0])
    bench.drain()
    assert_once(bench, 3, 1)
    first = next(s.span_id for s in order if s is not AROUND)
    second = next(s.span_id for s in reversed(order) if s is not AROUND)
    assert unbilled(bench) == {"around": "parent", second: "twin"}
    assert bench.rows("SELECT span_id, response_id FROM llm_traces FINAL WHERE billed") == [(first, ID)]


def test_a_parent_that_is_taken_out_of_the_count_gives_its_response_back(bench: Bench) -> None:
    """An agent that names the response of its second call is stored before both."""
    agent = told("agent", trace_id="t")
    other = told("first", trace_id="t", parent_span_id="agent", response_id="msg_01" + "b" * 22)
    second = told("second", trace_id="t", parent_span_id="agent")
    for record in (agent, other, second, APART):
        bench.send("span", record)
        bench.drain()
    assert_once(bench, 4, 2)
    assert unbilled(bench) == {"agent": "parent", "apart": "twin"}


def test_what_is_another_call(bench: Bench) -> None:
    """Another tenant's, another time's, without an id or with one that tells nothing, without usage."""
    unknown = [told(f"unknown-{n}", response_id="") for n in range(3)]
    numbered = [told(f"numbered-{n}", response_id="chatcmpl-7") for n in range(3)]
    refused = told("refused", tokens=Tokens(prompt=0, completion=0), status="error")
    bench.send("span", refused, told("one"), told("one", tenant_id="org_2"), *unknown, *numbered)
    bench.drain()
    bench.send("span", told("other", tenant_id="org_2"), told("two"), unknown[0])
    bench.send("span", told("earlier", timestamp=NOW - timedelta(minutes=2)))
    bench.drain()
    assert unbilled(bench) == {"other": "twin", "two": "twin"}
    bench.assert_exact(12, billed=10)


@pytest.mark.parametrize("executed", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("insert", [1, 2], ids=["llm_traces", "ingest_identity"])
def test_death_around_an_insert(bench: Bench, insert: int, executed: bool) -> None:
    """Of a block that takes a parent out of the count and leaves a twin out of it."""
    bench.send("span", AROUND)
    bench.drain()
    bench.send("span", INSIDE, APART)
    with (
        pytest.raises(CrashError),
        bench.running("first", connect_store=failing(bench, insert, executed=executed)),
    ):
        wait_for(bench.died.is_set, "the crash", 20)
    bench.send("span", APART, told("later"), AROUND)
    bench.drain()
    assert_once(bench, 4, 1)
    assert unbilled(bench) == {"around": "parent", "apart": "twin", "later": "twin"}


@pytest.mark.parametrize("one_block", [True, False])
def test_the_minute_before_and_the_minute_after(bench: Bench, one_block: bool) -> None:
    minute = NOW.replace(second=0, microsecond=0) - timedelta(minutes=10)
    times = {
        "first": minute,
        "before": minute - timedelta(minutes=1),
        "after": minute + timedelta(minutes=2, microseconds=-1),
        # More than a minute away from the one that is billed: another call, with a twin of its own.
        "later": minute + timedelta(minutes=2),
        "latest": minute + timedelta(minutes=3),
    }
    for name, at in times.items():
        bench.send("span", told(name, timestamp=at))
        if not one_block:
            bench.drain()
    bench.drain()
    assert unbilled(bench) == dict.fromkeys(("before", "after", "latest"), "twin")
    assert_once(bench, 5, 2)


@pytest.mark.parametrize("seed", [1, 2])
def test_sums_are_those_of_the_distinct_calls(bench: Bench, seed: int) -> None:
    """Calls told by up to four spans, in any order and blocks, some sent again, with two writers at work."""
    dice = random.Random(seed)
    records = []
    for call in range(150):
        fields = {
            "response_id": f"chatcmpl-{call:030x}",
            "timestamp": NOW - timedelta(seconds=dice.randrange(600)),
        }
        kinds = dice.sample(["inside", "apart", "gateway"], dice.randint(1, 3))
        for kind in kinds:
            records.append(told(f"{kind}-{call}", **fields))
        if "inside" in kinds:
            records[-len(kinds) + kinds.index("inside")].parent_span_id = f"around-{call}"
            records.append(told(f"around-{call}", trace_id=f"inside-{call}", **fields))
    sent = records + dice.sample(records, 100)
    dice.shuffle(sent)
    with bench.running("a"), bench.running("b"):
        while sent:
            size = dice.choice([1, 5, 40])
            bench.send("span", *sent[:size])
            del sent[:size]
            if dice.random() < 0.3:
                bench.wait_empty()
        bench.wait_empty()
    assert_once(bench, len(records), 150)


MINUTES = st.integers(0, 6)
RECORDS = st.lists(st.tuples(st.integers(1, 3), MINUTES, st.booleans()), max_size=12)
STORED = st.lists(st.tuples(st.integers(1, 3), MINUTES), max_size=6)


def responses(records: list[tuple[int, int]]) -> Responses:
    return Responses(
        np.arange(len(records)),
        np.array([number for number, _ in records], np.uint64),
        np.array([60 * minute for _, minute in records], np.uint32),
    )


@given(RECORDS, STORED, STORED, STORED)
def test_one_by_one_gives_the_same(
    records: list[tuple[int, int, bool]],
    claimed: list[tuple[int, int]],
    returned: list[tuple[int, int]],
    given_back: list[tuple[int, int]],
) -> None:
    def marks(stored: list[tuple[int, int]]) -> Mark:
        told = responses(stored)
        return Mark("", told.minute, told.hashes, np.zeros(len(stored), np.int64))

    def rows(stored: list[tuple[int, int]]) -> Known:
        return Known(marks(stored).hashes, marks(stored).minute)

    billed = np.array([is_billed for *_, is_billed in records], np.bool_)
    known = {CLAIMED: rows(claimed), RELEASED: rows(returned)}
    found = twins(responses([r[:2] for r in records]), billed, known, marks(given_back))
    held = list(claimed)
    for gone in (*returned, *given_back):
        if gone in held:
            held.remove(gone)
    expected = []
    for number, minute, is_billed in records:
        is_twin = is_billed and any(n == number and abs(m - minute) <= 1 for n, m in held)
        expected.append(is_twin)
        if is_billed and not is_twin:
            held.append((number, minute))
    assert found.tolist() == expected
