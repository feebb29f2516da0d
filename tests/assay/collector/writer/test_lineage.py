"""Only the span that called the model is billed, in whatever order the spans of a trace arrive."""

from __future__ import annotations

import itertools

import pytest

from assay.contracts.records import Span, Tokens
from tests.support.writing import Bench, span

AGENT = span(1, span_id="agent")
STEP = span(2, trace_id="t1", span_id="step", parent_span_id="agent", tokens=Tokens(prompt=0, completion=0))
CALL = span(3, trace_id="t1", span_id="call", parent_span_id="step", timestamp=AGENT.timestamp)


@pytest.mark.parametrize(
    "order", list(itertools.permutations([AGENT, STEP, CALL])), ids=lambda o: "-".join(s.span_id for s in o)
)
def test_one_block_each(bench: Bench, order: tuple[Span, ...]) -> None:
    for record in order:
        bench.send("span", record)
        bench.drain()
    # The agent repeats its call's usage; the step in between used nothing, and is a call all the same.
    assert bench.rows("SELECT span_id FROM llm_traces FINAL WHERE NOT billed") == [("agent",)]
    bench.assert_exact(3, billed=2)


def test_all_in_one_block(bench: Bench) -> None:
    other = [span(10 + i) for i in range(5)]
    bench.send("span", AGENT, *other, CALL, STEP)
    bench.drain()
    assert bench.rows("SELECT span_id FROM llm_traces FINAL WHERE NOT billed") == [("agent",)]
    bench.assert_exact(8, billed=7)


def test_parents_in_a_circle_stay_billed(bench: Bench) -> None:
    bench.send(
        "span",
        span(1, span_id="a", parent_span_id="b"),
        span(2, trace_id="t1", span_id="b", parent_span_id="a"),
    )
    bench.send("span", span(3, parent_span_id="s3"))
    bench.drain()
    bench.assert_exact(3)


def test_many_children_one_after_another(bench: Bench) -> None:
    bench.send("span", AGENT)
    for number in range(4):
        bench.send("span", span(20 + number, trace_id="t1", parent_span_id="agent"))
        bench.drain()
    bench.assert_exact(5, billed=4)
    assert bench.one("SELECT count() FROM llm_traces WHERE sign = -1") in {(1,), (0,)}


def test_another_tenant_with_the_same_ids_changes_nothing(bench: Bench) -> None:
    bench.send("span", AGENT)
    bench.drain()
    bench.send("span", span(3, trace_id="t1", span_id="call", parent_span_id="agent", tenant_id="other"))
    bench.drain()
    bench.assert_exact(2)


def test_many_parents_at_once(bench: Bench) -> None:
    """Their hashes lie on both sides of 2**63."""
    bench.send("span", *(span(number) for number in range(20)))
    bench.drain()
    children = (span(100 + n, trace_id=f"t{n}", parent_span_id=f"s{n}") for n in range(20))
    bench.send("span", *children)
    bench.drain()
    bench.assert_exact(40, billed=20)
