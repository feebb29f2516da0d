"""Scores that come before their span."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from assay.collector.envelope import Envelope
from assay.collector.queue import FIELD, STREAM, encode
from assay.collector.writer import keys
from assay.collector.writer.parking import PATIENCE_MS
from assay.contracts.records import Evaluation, Feedback, Label, Outcome, Quality
from tests.support.processes import wait_for
from tests.support.writing import NOW, Bench, span

EVALUATION = Evaluation(trace_id="t1", span_id="s1", evaluator="j", score=0.5, timestamp=NOW)


def test_an_evaluation_before_its_span(bench: Bench) -> None:
    with bench.running():
        bench.send("evaluation", EVALUATION, load="e", source="judge")
        wait_for(lambda: bench.queue.zcard(keys.PARKED_DUE) == 1, "parking", 10)
        # A second copy is a duplicate although the first is not stored yet.
        bench.send("evaluation", EVALUATION, load="e")
        wait_for(lambda: sum(bench.counts("e").values()) == 2, "the counts", 10)
        assert bench.counts("e") == {"accepted": 1, "duplicates": 1, "rejected": 0}
        assert bench.one("SELECT count() FROM llm_evaluations") == (0,)
        bench.send("span", span(1, model="gpt-4o", task_type="chat", timestamp=NOW - timedelta(minutes=5)))
        wait_for(lambda: bench.one("SELECT count() FROM llm_evaluations") == (1,), "the evaluation", 20)
    assert bench.one(
        "SELECT model, task_type, dateDiff('minute', span_timestamp, timestamp), source FROM llm_evaluations"
    ) == ("gpt-4o", "chat", 5, "judge")
    assert bench.one(
        "SELECT sum(evaluation_count), any(period_start) = toStartOfMinute(any(span_timestamp)) "
        "FROM llm_quality_1min, llm_evaluations"
    ) == (1, True)
    assert bench.queue.hlen(keys.PARKED) == bench.queue.zcard(keys.PARKED_DUE) == 0


def test_a_score_of_a_trace_goes_to_its_root(bench: Bench) -> None:
    bench.send(
        "span",
        span(
            1,
            span_id="child",
            parent_span_id="root",
            model="gpt-4o-mini",
            timestamp=NOW - timedelta(seconds=9),
        ),
        span(1, span_id="root", model="gpt-4o"),
    )
    bench.drain()
    bench.send("evaluation", Evaluation(trace_id="t1", evaluator="j", score=None, timestamp=NOW))
    bench.drain()
    assert bench.one("SELECT model, score FROM llm_evaluations") == ("gpt-4o", None)
    assert bench.one("SELECT sum(unknown_count), sum(evaluation_count) FROM llm_quality_1h") == (1, 0)


def test_what_waited_for_a_day(bench: Bench) -> None:
    feedback = Feedback(trace_id="t1", value=-1, timestamp=NOW)
    (seconds, _) = bench.queue.time()
    for kind, record in (("evaluation", EVALUATION), ("feedback", feedback)):
        envelope = Envelope.of(kind, "native", [record], received_at=NOW)
        since = seconds * 1000 - PATIENCE_MS - 1_000
        bench.queue.xadd(STREAM, {FIELD: encode(envelope)[FIELD], "since": since, "tries": 20, "loaded": 0})
    bench.drain()
    # An evaluation without its span has no series; what a user said is kept.
    assert bench.rows("SELECT kind, reason FROM ingest_rejects") == [
        ("evaluation", "no span with trace_id t1 and span_id s1 within 24 hours")
    ]
    assert bench.one("SELECT tenant_id, span_timestamp, value FROM end_user_feedback") == ("", None, -1.0)
    assert bench.queue.zcard(keys.PARKED_DUE) == 0
    # It may be sent again once its span is there.
    bench.send("span", span(1))
    bench.send("evaluation", EVALUATION)
    bench.drain()
    assert bench.one("SELECT count() FROM llm_evaluations") == (1,)


ABOUT = {
    "evaluation": EVALUATION,
    "feedback": Feedback(trace_id="t1", value=1, timestamp=NOW),
    "outcome": Outcome(trace_id="t1", event="conversion", timestamp=NOW),
    "label": Label(trace_id="t1", rater="ann", score=0.5, timestamp=NOW),
}
TABLES = {
    "evaluation": "llm_evaluations",
    "feedback": "end_user_feedback",
    "outcome": "business_outcomes",
    "label": "human_labels",
}


@pytest.mark.parametrize("kind", ABOUT)
def test_a_key_of_some_tenants_speaks_of_their_traces_alone(bench: Bench, kind: str) -> None:
    stored = f"SELECT count() FROM {TABLES[kind]}"
    # Another tenant has a trace of the same id.
    bench.send("span", span(1, tenant_id="org_2", model="gpt-4o"))
    bench.drain()
    with bench.running():
        bench.send(kind, ABOUT[kind], load="a", tenants=["org_1", "org_3"])
        wait_for(lambda: bench.queue.zcard(keys.PARKED_DUE) == 1, "parking", 10)
        assert bench.one(stored) == (0,)
        bench.send("span", span(1))
        wait_for(lambda: bench.one(stored) == (1,), "the record", 20)
        bench.send(kind, ABOUT[kind], load="b", tenants=["org_1", "org_3"])
        wait_for(lambda: bench.counts("b").get("duplicates") == 1, "the duplicate", 10)
    if kind in ("evaluation", "feedback"):
        assert bench.one(f"SELECT tenant_id, model FROM {TABLES[kind]}") == ("org_1", "claude-sonnet-4-5")


def of_org_3(kind: str) -> Any:
    """The record of this kind with its tenant."""
    return msgspec.structs.replace(ABOUT[kind], tenant_id="org_3")


@pytest.mark.parametrize("kind", ["outcome", "label"])
def test_what_names_its_tenant_and_needs_no_span_waits_for_nothing(bench: Bench, kind: str) -> None:
    bench.send(kind, of_org_3(kind), tenants=["org_1", "org_3"])
    bench.drain()
    assert bench.rows(f"SELECT tenant_id, trace_id FROM {TABLES[kind]}") == [("org_3", "t1")]
    assert bench.queue.zcard(keys.PARKED_DUE) == 0


@pytest.mark.parametrize("kind", ["outcome", "label"])
@pytest.mark.parametrize(("having", "told"), [(["org_3", "org_2"], "org_3"), (["org_1", "org_3"], "")])
def test_without_a_tenant_it_is_the_only_one_of_its_keys_that_has_the_trace(
    bench: Bench, kind: str, having: list[str], told: str
) -> None:
    for tenant in having:
        bench.send("span", span(1, tenant_id=tenant))
    bench.send(kind, ABOUT[kind], tenants=["org_1", "org_3"])
    bench.drain()
    assert bench.rows(f"SELECT tenant_id FROM {TABLES[kind]}") == [(told,)]


@pytest.mark.parametrize("kind", ["evaluation", "feedback"])
@pytest.mark.parametrize("tenants", [[], ["org_1", "org_3"]])
def test_a_score_that_names_its_tenant_is_of_its_span(bench: Bench, kind: str, tenants: list[str]) -> None:
    bench.send("span", span(1, tenant_id="org_1", timestamp=NOW - timedelta(seconds=30)))
    bench.send("span", span(1, tenant_id="org_3", model="gpt-4o"))
    bench.send(kind, of_org_3(kind), tenants=tenants)
    bench.drain()
    assert bench.rows(f"SELECT tenant_id, model FROM {TABLES[kind]}") == [("org_3", "gpt-4o")]


def test_feedback_whose_span_never_comes_keeps_its_tenant(bench: Bench) -> None:
    bench.send("span", span(1, tenant_id="org_1"))
    (seconds, _) = bench.queue.time()
    since = seconds * 1000 - PATIENCE_MS - 1_000
    envelope = Envelope.of(
        "feedback", "native", [of_org_3("feedback")], received_at=NOW, tenants=["org_1", "org_3"]
    )
    bench.queue.xadd(STREAM, {FIELD: encode(envelope)[FIELD], "since": since, "tries": 20, "loaded": 0})
    bench.drain()
    assert bench.rows("SELECT tenant_id, model FROM end_user_feedback") == [("org_3", "")]


@pytest.mark.parametrize("kind", ABOUT)
def test_what_is_said_of_another_tenants_trace_is_refused_in_the_end(bench: Bench, kind: str) -> None:
    bench.send("span", span(1, tenant_id="org_2"))
    bench.drain()
    (seconds, _) = bench.queue.time()
    envelope = Envelope.of(kind, "native", [ABOUT[kind]], received_at=NOW, tenants=["org_1"])
    since = seconds * 1000 - PATIENCE_MS - 1_000
    bench.queue.xadd(STREAM, {FIELD: encode(envelope)[FIELD], "since": since, "tries": 20, "loaded": 0})
    bench.drain()
    assert bench.one(f"SELECT count() FROM {TABLES[kind]}") == (0,)
    ((field, reason, payload),) = bench.rows("SELECT field, reason, payload FROM ingest_rejects")
    assert field == "trace_id"
    assert "of a tenant of the API key that it came with within 24 hours" in reason
    assert '"trace_id":"t1"' in payload


def test_a_score_inside_a_span_goes_to_the_span_of_its_key(bench: Bench) -> None:
    bench.send("span", span(1, tenant_id="org_0", timestamp=NOW - timedelta(seconds=30)))
    bench.drain()
    quality = Quality(evaluator="gateway", score=0.25)
    bench.send("span", span(1, tenant_id="org_1", quality=quality), tenants=["org_1"])
    bench.drain()
    assert bench.one("SELECT tenant_id, score FROM llm_evaluations") == ("org_1", 0.25)
