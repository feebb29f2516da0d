"""Scores that come before their span."""

from __future__ import annotations

from datetime import timedelta

from assay.collector.envelope import Envelope
from assay.collector.queue import FIELD, STREAM, encode
from assay.collector.writer import keys
from assay.collector.writer.parking import PATIENCE_MS
from assay.contracts.records import Evaluation, Feedback
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
