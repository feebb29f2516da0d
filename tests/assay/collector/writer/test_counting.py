"""Each record counts once, whatever way it comes, and raw tables and rollups say the same."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from assay.collector.envelope import Reject
from assay.collector.queue import FIELD, STREAM
from assay.contracts.records import (
    CanonicalExample,
    Contract,
    Deployment,
    Evaluation,
    ExchangeRate,
    Feedback,
    Incident,
    Invoice,
    Label,
    Outcome,
    Quality,
    TaskTime,
    Tenant,
    Tokens,
)
from tests.support.writing import COST, NOW, Bench, span


def test_spans_are_priced_and_counted(bench: Bench) -> None:
    bench.send("span", *(span(i) for i in range(100)))
    bench.drain()
    bench.assert_exact(100)
    assert bench.one("SELECT sum(cost_usd) FROM llm_kpi_1d") == (100 * COST,)
    assert bench.rows("SELECT DISTINCT cost_status, provider, source, sign FROM llm_traces") == [
        ("priced", "anthropic", "native", 1)
    ]


def test_overlapping_batches_count_once(bench: Bench) -> None:
    bench.send("span", *(span(i) for i in range(60)))
    bench.send("span", *(span(i) for i in range(40, 100)))
    bench.drain()
    bench.send("span", *(span(i) for i in range(90, 120)), span(119))
    bench.drain()
    bench.assert_exact(120)


def test_a_file_loaded_twice(bench: Bench) -> None:
    old = timedelta(days=400)
    records = [span(i, timestamp=NOW - old - timedelta(days=20 * i)) for i in range(30)]
    bench.send(
        "span", *records, load="first", rejects=[Reject(index=30, field="f", reason="r", payload=b"\xff")]
    )
    bench.drain()
    bench.send("span", *records, load="second", source="azure")
    bench.drain()
    assert bench.counts("first") == {"accepted": 30, "duplicates": 0, "rejected": 1}
    assert bench.counts("second") == {"accepted": 0, "duplicates": 30, "rejected": 0}
    bench.assert_exact(30)
    # It is old data, and kept from the day of its load.
    assert bench.one("SELECT uniqExact(retention_start), min(retention_start) = today() FROM llm_traces") == (
        1,
        True,
    )


def test_the_same_ids_of_another_tenant_are_another_span(bench: Bench) -> None:
    bench.send("span", span(1), span(1, tenant_id="org_2"))
    bench.drain()
    bench.assert_exact(2)


def test_an_unpriced_call_has_no_cost(bench: Bench) -> None:
    bench.send("span", span(1, model="in-house", cost_usd=Decimal("0.1234567890123456")))
    bench.drain()
    assert bench.rows("SELECT cost_usd, cost_status, cost_reason, reported_cost_usd FROM llm_traces") == [
        (None, "unpriced", "no price for model in-house", Decimal("0.123456789012"))
    ]
    assert bench.one("SELECT sum(unpriced_count), sum(cost_usd) FROM llm_kpi_1min") == (1, None)


def test_every_column_of_a_span(bench: Bench) -> None:
    bench.send(
        "span",
        span(
            1,
            tokens=Tokens(prompt=5, completion=3, reasoning=2),
            units={"images": Decimal("1.5")},
            attributes={"ключ": "значение"},
            input="mail [redacted:email]",
            context=["a [redacted:phone]", "b"],
            experiment_id="e1",
            latency_ms=12.5,
        ),
    )
    bench.drain()
    assert bench.rows(
        "SELECT timestamp, cached_tokens, reasoning_tokens, units, attributes, cohort, latency_ms, ttft_ms, "
        "cost_status FROM llm_traces"
    ) == [
        (
            (NOW - timedelta(seconds=1)).replace(tzinfo=None),
            None,
            2,
            {"images": Decimal("1.5")},
            {"ключ": "значение"},
            "experiment",
            12.5,
            None,
            "partial",
        )
    ]
    assert bench.rows("SELECT input, output, context, redactions FROM llm_payloads") == [
        ("mail [redacted:email]", "", ["a [redacted:phone]", "b"], 2)
    ]


def test_a_score_inside_a_span(bench: Bench) -> None:
    scored = span(1, quality=Quality(evaluator="judge", score=0.5))
    bench.send("span", scored, load="l")
    bench.send("span", scored)
    bench.drain()
    assert bench.counts("l") == {"accepted": 1, "duplicates": 0, "rejected": 0}
    assert bench.one(
        "SELECT count(), any(tenant_id), any(span_timestamp = timestamp) FROM llm_evaluations"
    ) == (
        1,
        "org_1",
        True,
    )
    assert bench.one("SELECT sum(evaluation_count), sum(weighted_score) FROM llm_quality_1d") == (1, 0.5)


def test_late_and_future_records(bench: Bench) -> None:
    bench.send(
        "span",
        span(1, timestamp=NOW - timedelta(days=6)),
        span(2, timestamp=NOW - timedelta(days=8)),
        span(3, timestamp=NOW + timedelta(days=2)),
    )
    bench.drain()
    bench.assert_exact(1)
    assert bench.one(
        "SELECT min(period_start) = toStartOfMinute(now('UTC') - INTERVAL 6 DAY) "
        "OR min(period_start) < now('UTC') - INTERVAL 5 DAY FROM llm_kpi_1min"
    ) == (True,)
    rejected = bench.rows("SELECT position, field, reason, payload FROM ingest_rejects ORDER BY position")
    assert [(row[0], row[1]) for row in rejected] == [(1, "timestamp"), (2, "timestamp")]
    assert "assay load" in rejected[0][2]
    assert '"trace_id":"t3"' in rejected[1][3]


def test_a_poison_entry_is_kept_and_passed_by(bench: Bench) -> None:
    bench.queue.xadd(STREAM, {FIELD: b"\x00garbage"})
    bench.queue.xadd(STREAM, {b"other": b"field"})
    bench.send("span", span(1))
    bench.drain()
    bench.assert_exact(1)
    assert bench.rows("SELECT kind, payload FROM ingest_rejects ORDER BY ingest_id LIMIT 1") == [
        ("envelope", "\x00garbage")
    ]
    assert bench.one("SELECT count() FROM ingest_rejects") == (2,)


def test_the_other_kinds_reach_their_tables(bench: Bench) -> None:
    sent = {
        "outcome": Outcome(trace_id="t1", event="conversion", value=Decimal("1.5"), timestamp=NOW),
        "label": Label(trace_id="t1", rater="ann", score=0.5, timestamp=NOW),
        "task_time": TaskTime(task_type="chat", human_minutes=3.5, source="survey", timestamp=NOW),
        "canonical_example": CanonicalExample(task_type="chat", text="hello", complexity=2),
        "invoice": Invoice(
            provider="Bedrock",
            model="gpt-4o",
            period_start=NOW.date(),
            period_end=NOW.date() + timedelta(days=1),
            amount_usd=Decimal("12.34"),
        ),
        "contract": Contract(
            contract_id="c",
            kind="credit",
            provider="azure",
            amount_usd=Decimal("0.000000000001"),
            valid_from=NOW.date(),
            source="order",
        ),
        "exchange_rate": ExchangeRate(currency="EUR", day=NOW.date(), rate=Decimal("0.9223"), source="ECB"),
        "deployment": Deployment(timestamp=NOW, version="1", description="d"),
        "incident": Incident(id="i", tenant_id="org_1", start=NOW, end=NOW, expected="page"),
    }
    for _ in range(2):
        for kind, record in sent.items():
            bench.send(kind, record, load=kind)
        bench.drain()
    tables = {
        "outcome": "business_outcomes",
        "label": "human_labels",
        "task_time": "task_times FINAL",
        "canonical_example": "canonical_examples FINAL",
        "invoice": "provider_invoices FINAL",
        "contract": "provider_contracts FINAL",
        "exchange_rate": "exchange_rates FINAL",
        "deployment": "deployments FINAL",
        "incident": "incidents FINAL",
    }
    assert {
        kind: bench.one(f"SELECT count() FROM {table}")[0] for kind, table in tables.items()
    } == dict.fromkeys(tables, 1)
    assert bench.one("SELECT value FROM business_outcomes") == (Decimal("1.5"),)
    assert bench.one("SELECT provider, amount_usd FROM provider_invoices FINAL") == (
        "aws.bedrock",
        Decimal("12.34"),
    )
    assert bench.one("SELECT provider FROM provider_contracts FINAL") == ("azure.ai.openai",)
    assert bench.one(
        "SELECT amount_usd, units, tokens_per_minute, valid_to FROM provider_contracts FINAL"
    ) == (Decimal("0.000000000001"), 1, None, None)
    assert bench.one("SELECT rate FROM exchange_rates FINAL") == (Decimal("0.9223"),)
    assert bench.counts("outcome") == {"accepted": 1, "duplicates": 1, "rejected": 0}


def test_the_same_outcome_of_two_tenants_is_two(bench: Bench) -> None:
    outcomes = [
        Outcome(tenant_id=tenant, trace_id="t1", event="conversion", timestamp=NOW)
        for tenant in ("org_1", "org_2", "org_1")
    ]
    bench.send("outcome", *outcomes, load="both")
    bench.drain()
    assert bench.rows("SELECT tenant_id FROM business_outcomes ORDER BY 1") == [("org_1",), ("org_2",)]
    assert bench.counts("both") == {"accepted": 2, "duplicates": 1, "rejected": 0}


def test_of_a_tenant_the_last_entry_counts(bench: Bench) -> None:
    bench.send("tenant", Tenant(tenant_id="a", tier="batch"), Tenant(tenant_id="a", tier="high_value"))
    bench.drain()
    assert bench.one("SELECT tier FROM tenants FINAL") == ("high_value",)


def test_scores_and_feedback_count_once(bench: Bench) -> None:
    evaluation = Evaluation(trace_id="t1", span_id="s1", evaluator="j", score=0.5, timestamp=NOW)
    feedback = Feedback(trace_id="t1", value=1, timestamp=NOW)
    bench.send("span", span(1))
    for _ in range(2):
        bench.send("evaluation", evaluation, evaluation)
        bench.send("feedback", feedback)
        bench.drain()
    assert bench.one("SELECT count() FROM llm_evaluations") == (1,)
    assert bench.one("SELECT count(), any(tenant_id) FROM end_user_feedback") == (1, "org_1")
