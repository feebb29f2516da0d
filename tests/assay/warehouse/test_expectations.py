from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from great_expectations import expectations

from assay.settings import Settings
from assay.warehouse.client import connect
from assay.warehouse.expectations import SUITES, Suite, Verdict, validate
from tests.support.rows import insert, span

NOW = datetime.now(UTC)
SHARED = "of two tenants"
COMMON = {"timestamp": NOW, "trace_id": "t", "retention_start": NOW.date()}
GOOD: dict[str, dict[str, Any]] = {
    "llm_traces": span(NOW, cached_tokens=800, cache_write_tokens=None, reasoning_tokens=None),
    "llm_evaluations": {
        **COMMON,
        "tenant_id": "org_1",
        "span_timestamp": NOW,
        "evaluator": "judge",
        "score": 0.5,
        "confidence": None,
        "sampling_rate": 0.1,
    },
    "end_user_feedback": {**COMMON, "tenant_id": "org_1", "value": -1.0},
    "business_outcomes": {**COMMON, "tenant_id": "org_1", "event": "conversion", "user_id": ""},
    "human_labels": {"timestamp": NOW, "trace_id": "t", "rater": "r", "score": 1.0},
    "tenants": {
        "tenant_id": "org_1",
        "tier": "standard",
        "time_zone": "Asia/Kolkata",
        "currency": "EUR",
        "capture": "none",
    },
    "task_times": {"task_type": "triage", "human_minutes": 5.0, "timestamp": NOW},
    "canonical_examples": {"task_type": "triage", "text": "Sum this up.", "complexity": 0.5},
    "provider_invoices": {
        "provider": "openai",
        "model": "gpt-4o",
        "period_start": date(2026, 1, 1),
        "period_end": date(2026, 2, 1),
        "amount_usd": 5,
    },
    "provider_contracts": {
        "contract_id": "c",
        "kind": "provisioned",
        "provider": "azure",
        "amount_usd": 5,
        "per": "month",
        "units": 1,
        "valid_from": date(2026, 1, 1),
        "valid_to": None,
    },
    "exchange_rates": {"currency": "EUR", "day": date(2026, 1, 1), "rate": Decimal("0.86")},
}
# What differs between the rows of a table, so that none replaces another.
KEYS = {
    "llm_traces": ("trace_id", "prompt_template_version"),
    "llm_evaluations": ("trace_id", "span_id"),
    "tenants": ("tenant_id",),
    "task_times": ("source",),
    "canonical_examples": ("text",),
    "provider_invoices": ("model",),
    "provider_contracts": ("contract_id",),
}
LATER = NOW + timedelta(days=2)
# Two rows in twenty are wrong, in one way.
WRONG = {
    ("llm_traces", "sound"): [
        ({"tenant_id": ""}, "tenant_id"),
        ({"trace_id": ""}, "trace_id"),
        ({"span_id": ""}, "span_id"),
        ({"model": ""}, "model"),
        ({"timestamp": LATER}, "timestamp is not ahead of time"),
        ({"prompt_tokens": 2**32 - 5}, "prompt_tokens"),
        ({"completion_tokens": 2**32 - 5}, "completion_tokens"),
        ({"cached_tokens": 1_001}, "prompt_tokens ≥ cached_tokens"),
        ({"cache_write_tokens": 1_001}, "prompt_tokens ≥ cache_write_tokens"),
        ({"reasoning_tokens": 201}, "completion_tokens ≥ reasoning_tokens"),
        ({"cost_status": "free"}, "cost_status"),
        ({"cost_usd": None}, "a cost is NULL exactly where"),
        ({"cost_status": "unpriced"}, "a cost is NULL exactly where"),
        ({"cost_usd": -1}, "cost_usd"),
        ({"latency_ms": -1.0}, "latency_ms"),
    ],
    ("llm_traces", "usable"): [({"cost_status": "unpriced", "cost_usd": None}, "cost_status")],
    ("llm_evaluations", "sound"): [
        ({"tenant_id": ""}, "tenant_id"),
        ({"trace_id": ""}, "trace_id"),
        ({"evaluator": ""}, "evaluator"),
        ({"timestamp": LATER}, "timestamp is not ahead"),
        ({"span_timestamp": LATER}, "span_timestamp is not ahead"),
        ({"score": 1.5}, "score"),
        ({"confidence": -0.5}, "confidence"),
        ({"sampling_rate": 0.0}, "a sampling rate is above 0"),
        ({"sampling_rate": 1.5}, "sampling_rate"),
    ],
    ("end_user_feedback", "sound"): [
        ({"trace_id": ""}, "trace_id"),
        ({"timestamp": LATER}, "timestamp is not ahead"),
        ({"value": 2.0}, "value"),
    ],
    ("business_outcomes", "sound"): [
        ({"event": ""}, "event"),
        ({"timestamp": LATER}, "timestamp is not ahead"),
        ({"trace_id": ""}, "a trace or a user is named"),
    ],
    ("business_outcomes", "usable"): [
        ({"tenant_id": "", "trace_id": SHARED}, "a trace of several tenants comes with its tenant")
    ],
    ("human_labels", "sound"): [
        ({"trace_id": ""}, "trace_id"),
        ({"rater": ""}, "rater"),
        ({"timestamp": LATER}, "timestamp is not ahead"),
        ({"score": -0.1}, "score"),
    ],
    ("tenants", "sound"): [
        # An id is what a tenant's entries replace one another by: of two without one, one counts.
        ({"tenant_id": ""}, "tenant_id"),
        ({"tier": "gold"}, "tier"),
        ({"capture": "some"}, "capture"),
    ],
    ("tenants", "usable"): [
        ({"time_zone": "Mars/Olympus"}, "a time zone is known"),
        ({"currency": "euro"}, "currency"),
    ],
    ("task_times", "sound"): [
        ({"task_type": ""}, "task_type"),
        ({"timestamp": LATER}, "timestamp is not ahead"),
        ({"human_minutes": 0.0}, "a task took time"),
    ],
    ("canonical_examples", "sound"): [
        ({"task_type": ""}, "task_type"),
        ({"text": ""}, "text"),
        ({"complexity": -1.0}, "a complexity is above 0"),
    ],
    ("provider_invoices", "sound"): [
        ({"provider": ""}, "provider"),
        ({"model": ""}, "model"),
        ({"amount_usd": -1}, "amount_usd"),
        ({"period_end": date(2026, 1, 1)}, "a period ends after it begins"),
    ],
    ("provider_contracts", "sound"): [
        ({"contract_id": ""}, "contract_id"),
        ({"provider": ""}, "provider"),
        ({"kind": "gift"}, "kind"),
        ({"amount_usd": -1}, "amount_usd"),
        ({"valid_to": date(2025, 12, 31)}, "a contract does not end before it begins"),
        ({"units": 0}, "capacity is of so many units"),
        ({"per": "year"}, "capacity is of so many units"),
    ],
    ("exchange_rates", "sound"): [
        ({"currency": "EURO"}, "currency"),
        ({"rate": Decimal(0)}, "a rate is above 0"),
    ],
}
# Where one row in ten is no reason to alert.
OFTEN = {
    ("llm_traces", "usable"): [
        ({"prompt_template_version": ""}, "prompt_template_version"),
        ({"status": "error"}, "status"),
    ],
    ("llm_evaluations", "usable"): [({"score": None}, "score")],
}


@pytest.fixture
def store(migrated: Settings) -> Iterator[tuple[Settings, Client]]:
    with connect(migrated) as found:
        yield migrated, found


def row(table: str, number: int, fields: dict[str, Any]) -> dict[str, Any]:
    """A good row of this number, but for these fields."""
    if table == "exchange_rates":
        return {**GOOD[table], "day": date(2026, 1, 1) + timedelta(days=number), **fields}
    return {**GOOD[table], **dict.fromkeys(KEYS.get(table, ("trace_id",)), f"x{number}"), **fields}


def fill(client: Client, table: str, count: int, fields: dict[str, Any]) -> None:
    """Twenty rows, ``count`` of them with these fields."""
    client.command(f"TRUNCATE TABLE {table}")
    insert(client, table, *(row(table, i, fields if i < count else {}) for i in range(20)))


def verdicts(settings: Settings, *suites: Suite) -> dict[tuple[str, str], Verdict]:
    return {(v.suite.table, v.suite.level): v for v in validate(settings, suites or SUITES)}


def test_good_rows_meet_every_suite(store: tuple[Settings, Client]) -> None:
    settings, client = store
    for table, row in GOOD.items():
        insert(client, table, row)
    found = verdicts(settings)
    assert {key: verdict.failures for key, verdict in found.items()} == {key: [] for key in found}
    assert {verdict.evaluated for verdict in found.values()} == {1}


def test_a_withdrawn_contract_is_no_fault(store: tuple[Settings, Client]) -> None:
    settings, client = store
    contract = GOOD["provider_contracts"]
    insert(client, "provider_contracts", {**contract, "valid_to": contract["valid_from"]})
    assert verdicts(settings)["provider_contracts", "sound"].failures == []


def test_no_rows_are_no_fault(store: tuple[Settings, Client]) -> None:
    found = verdicts(store[0])
    assert all(verdict.passed and verdict.evaluated == 0 for verdict in found.values())


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite.table}-{suite.level}")
def test_every_expectation_fails_where_it_should(store: tuple[Settings, Client], suite: Suite) -> None:
    """Wrong rows of every kind at once: each expectation tells its own, and how many."""
    settings, client = store
    key = (suite.table, suite.level)
    said = set()
    insert(client, "llm_traces", *(span(NOW, trace_id=SHARED, tenant_id=t) for t in ("org_1", "org_2")))
    for cases, each in ((WRONG.get(key, []), 2), (OFTEN.get(key, []), 6)):
        wrong = [fields for fields, _ in cases for _ in range(each)]
        client.command(f"TRUNCATE TABLE {suite.table}")
        insert(client, suite.table, *(row(suite.table, i, fields) for i, fields in enumerate([*wrong, {}])))
        named = [name for _, name in cases]
        failures = verdicts(settings, suite)[key].failures
        for name in named:
            begins = name if " " in name else f"{name} expect_"
            (told,) = [failure for failure in failures if failure.startswith(begins)]
            # Entries of one key replace one another: of those without a key one is left.
            count = 1 if (name,) == KEYS.get(suite.table) else each * named.count(name)
            assert f": {count} rows" in told
            said.add(told)
        assert set(failures) <= said
    # NULL in a column that knows none cannot be stored.
    shown = [e for e in suite.build(expectations) if type(e).__name__ != "ExpectColumnValuesToNotBeNull"]
    assert len(said) == len(shown) + (key == ("llm_evaluations", "usable"))


def test_few_exceptions_are_no_alert(store: tuple[Settings, Client]) -> None:
    settings, client = store
    for (table, level), kinds in OFTEN.items():
        for fields, _ in kinds:
            fill(client, table, 2, fields)
            suite = next(s for s in SUITES if (s.table, s.level) == (table, level))
            assert verdicts(settings, suite)[table, level].passed


def test_a_correction_counts_and_what_it_corrects_does_not(store: tuple[Settings, Client]) -> None:
    settings, client = store
    wrong = span(NOW, cost_usd=None)
    insert(client, "llm_traces", wrong)
    insert(client, "llm_traces", {**wrong, "sign": -1})
    insert(client, "llm_traces", {**wrong, "cost_usd": 1, "sign": 1})
    assert all(verdict.passed for verdict in verdicts(settings).values())


def test_rows_of_older_days_are_not_read_again(store: tuple[Settings, Client]) -> None:
    settings, client = store
    old = NOW - timedelta(days=3)
    insert(client, "llm_traces", span(old, cost_usd=None, ingested_at=old))
    assert verdicts(settings)["llm_traces", "sound"].evaluated == 0


def test_importing_the_module_imports_no_library() -> None:
    code = "import sys, assay.warehouse.expectations; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
