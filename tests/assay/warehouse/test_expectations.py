from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse.client import connect
from assay.warehouse.expectations import SUITES, Suite, Verdict, validate
from tests.support.rows import insert, span

NOW = datetime.now(UTC)
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
    "business_outcomes": {**COMMON, "event": "conversion", "user_id": ""},
    "human_labels": {"timestamp": NOW, "trace_id": "t", "rater": "r", "score": 1.0},
}
LATER = NOW + timedelta(days=2)
# One row in ten is wrong, in one way.
WRONG = [
    ("llm_traces", "sound", {"tenant_id": ""}, "tenant_id"),
    ("llm_traces", "sound", {"trace_id": ""}, "trace_id"),
    ("llm_traces", "sound", {"span_id": ""}, "span_id"),
    ("llm_traces", "sound", {"timestamp": LATER}, "timestamp is not ahead of time"),
    ("llm_traces", "sound", {"prompt_tokens": 2**32 - 5}, "prompt_tokens"),
    ("llm_traces", "sound", {"completion_tokens": 2**32 - 5}, "completion_tokens"),
    ("llm_traces", "sound", {"cached_tokens": 1_001}, "prompt_tokens ≥ cached_tokens"),
    ("llm_traces", "sound", {"cache_write_tokens": 1_001}, "prompt_tokens ≥ cache_write_tokens"),
    ("llm_traces", "sound", {"reasoning_tokens": 201}, "completion_tokens ≥ reasoning_tokens"),
    ("llm_traces", "sound", {"cost_status": "free"}, "cost_status"),
    ("llm_traces", "sound", {"cost_usd": None}, "a cost is NULL exactly where"),
    ("llm_traces", "sound", {"cost_status": "unpriced"}, "a cost is NULL exactly where"),
    ("llm_traces", "sound", {"cost_usd": -1}, "cost_usd"),
    ("llm_traces", "sound", {"latency_ms": -1.0}, "latency_ms"),
    ("llm_traces", "usable", {"cost_status": "unpriced", "cost_usd": None}, "cost_status"),
    ("llm_evaluations", "sound", {"tenant_id": ""}, "tenant_id"),
    ("llm_evaluations", "sound", {"score": 1.5}, "score"),
    ("llm_evaluations", "sound", {"confidence": -0.5}, "confidence"),
    ("llm_evaluations", "sound", {"sampling_rate": 0.0}, "a sampling rate is above 0"),
    ("llm_evaluations", "sound", {"sampling_rate": 1.5}, "sampling_rate"),
    ("llm_evaluations", "sound", {"span_timestamp": LATER}, "span_timestamp is not ahead"),
    ("end_user_feedback", "sound", {"value": 2.0}, "value"),
    ("end_user_feedback", "sound", {"trace_id": ""}, "trace_id"),
    ("business_outcomes", "sound", {"trace_id": ""}, "a trace or a user is named"),
    ("business_outcomes", "sound", {"event": ""}, "event"),
    ("human_labels", "sound", {"score": -0.1}, "score"),
    ("human_labels", "sound", {"rater": ""}, "rater"),
]
# Where one row in ten is no reason to alert.
OFTEN = [
    ("llm_traces", "usable", {"prompt_template_version": ""}, "prompt_template_version"),
    ("llm_traces", "usable", {"status": "error"}, "status"),
    ("llm_evaluations", "usable", {"score": None}, "score"),
]


@pytest.fixture
def store(migrated: Settings) -> Iterator[tuple[Settings, Client]]:
    with connect(migrated) as found:
        yield migrated, found


def fill(client: Client, table: str, count: int, fields: dict[str, Any]) -> None:
    """Twenty rows, ``count`` of them with these fields; they differ in what tables are sorted by."""
    client.command(f"TRUNCATE TABLE {table}")
    key = "model" if table == "llm_traces" else "trace_id"
    rows = [{**GOOD[table], key: f"x{i}", **(fields if i < count else {})} for i in range(20)]
    insert(client, table, *rows)


def verdicts(settings: Settings, *suites: Suite) -> dict[tuple[str, str], Verdict]:
    return {(v.suite.table, v.suite.level): v for v in validate(settings, suites or SUITES)}


def test_good_rows_meet_every_suite(store: tuple[Settings, Client]) -> None:
    settings, client = store
    for table, row in GOOD.items():
        insert(client, table, row)
    found = verdicts(settings)
    assert {key: verdict.failures for key, verdict in found.items()} == {key: [] for key in found}
    assert {verdict.evaluated for verdict in found.values()} == {1}


def test_no_rows_are_no_fault(store: tuple[Settings, Client]) -> None:
    found = verdicts(store[0])
    assert all(verdict.passed and verdict.evaluated == 0 for verdict in found.values())


def test_every_suite_fails_where_it_should(store: tuple[Settings, Client]) -> None:
    """Each expectation alone, and none of the others with it."""
    settings, client = store
    for table, level, fields, named in [*WRONG, *OFTEN]:
        wrong = 6 if (table, level, fields, named) in OFTEN else 2
        fill(client, table, wrong, fields)
        suite = next(s for s in SUITES if (s.table, s.level) == (table, level))
        verdict = verdicts(settings, suite)[table, level]
        assert verdict.evaluated == 20
        assert len(verdict.failures) == 1, (fields, verdict.failures)
        assert verdict.failures[0].startswith(named), verdict.failures
        assert f"{wrong} rows" in verdict.failures[0]


def test_few_exceptions_are_no_alert(store: tuple[Settings, Client]) -> None:
    settings, client = store
    for table, level, fields, _ in OFTEN:
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
