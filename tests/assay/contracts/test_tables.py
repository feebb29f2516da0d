"""Every field of a record has its column, wide enough, and every column of dimensions has its field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from assay.contracts.fields import MAX_USD
from assay.contracts.records import RECORDS
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.databases import Databases

TABLES = {
    "span": "llm_traces",
    "evaluation": "llm_evaluations",
    "outcome": "business_outcomes",
    "feedback": "end_user_feedback",
    "label": "human_labels",
    "task_time": "task_times",
    "canonical_example": "canonical_examples",
    "invoice": "provider_invoices",
    "contract": "provider_contracts",
    "exchange_rate": "exchange_rates",
    "deployment": "deployments",
    "incident": "incidents",
    "tenant": "tenants",
}
# Where a field is not in a column of its own name in the table of its record.
ELSEWHERE: dict[tuple[str, str], tuple[str, str]] = {
    ("span", "tokens.prompt"): ("llm_traces", "prompt_tokens"),
    ("span", "tokens.completion"): ("llm_traces", "completion_tokens"),
    ("span", "tokens.cached"): ("llm_traces", "cached_tokens"),
    ("span", "tokens.cache_write"): ("llm_traces", "cache_write_tokens"),
    ("span", "tokens.cache_write_1h"): ("llm_traces", "cache_write_1h_tokens"),
    ("span", "tokens.reasoning"): ("llm_traces", "reasoning_tokens"),
    ("span", "cost_usd"): ("llm_traces", "reported_cost_usd"),
    **{("span", name): ("llm_payloads", name) for name in ("input", "output", "context")},
    **{
        ("span", f"quality.{name}"): ("llm_evaluations", name)
        for name in ("evaluator", "score", "confidence", "evaluator_version", "sampling_rate")
    },
}
# What the writer adds to what the source sent.
ADDED = {
    "llm_traces": {
        *("cohort", "billed", "unbilled_reason", "cost_usd", "cost_status", "cost_reason", "price_source"),
        *("source", "ingest_id", "ingested_at", "retention_start", "sign"),
    },
    "llm_evaluations": {
        *("tenant_id", "model", "prompt_template_version", "task_type", "experiment_id", "cohort"),
        *("span_timestamp", "source", "ingest_id", "ingested_at", "retention_start", "sign"),
    },
    "end_user_feedback": {
        *("tenant_id", "model", "prompt_template_version", "span_timestamp"),
        *("ingest_id", "ingested_at", "retention_start"),
    },
    "business_outcomes": {"ingest_id", "ingested_at", "retention_start"},
    "human_labels": {"ingest_id", "ingested_at"},
    "tenants": {"updated_at"},
    **{
        name: {"ingested_at"}
        for name in (
            *("task_times", "canonical_examples", "provider_invoices", "provider_contracts"),
            *("exchange_rates", "deployments", "incidents"),
        )
    },
}


def fields(kind: str) -> Iterator[tuple[str, Any]]:
    """(name, type) of the fields of a record, those of ``tokens`` and ``quality`` with a dot."""
    for field in msgspec.inspect.type_info(RECORDS[kind]).fields:  # type: ignore[attr-defined]
        inner = next((t for t in options(field.type) if isinstance(t, msgspec.inspect.StructType)), None)
        if inner is None:
            yield field.name, field.type
        else:
            yield from ((f"{field.name}.{f.name}", f.type) for f in inner.fields)


def options(kind: Any) -> list[Any]:
    """The members of a union, without what annotates them."""
    if isinstance(kind, msgspec.inspect.Metadata):
        return options(kind.type)
    if isinstance(kind, msgspec.inspect.UnionType):
        return [option for member in kind.types for option in options(member)]
    return [kind]


@pytest.fixture(scope="module")
def columns(migrated_databases: Databases) -> Iterator[dict[str, dict[str, str]]]:
    """Types of the columns of every table of the numbered schema."""
    with migrated_databases.lend() as settings, connect(settings) as client:
        found: dict[str, dict[str, str]] = {}
        for table, name, kind in client.query(
            "SELECT table, name, type FROM system.columns WHERE database = currentDatabase()"
        ).result_rows:
            found.setdefault(table, {})[name] = kind
        yield found


def test_every_record_has_a_table(columns: dict[str, dict[str, str]]) -> None:
    assert TABLES.keys() == RECORDS.keys()
    assert set(TABLES.values()) <= columns.keys()


SHAPES = {
    msgspec.inspect.StrType: ("String", "LowCardinality(String)"),
    msgspec.inspect.LiteralType: ("LowCardinality(String)",),
    msgspec.inspect.FloatType: ("Float64",),
    msgspec.inspect.IntType: ("UInt32",),
    msgspec.inspect.DecimalType: ("Decimal(38, 12)",),
    msgspec.inspect.DateTimeType: ("DateTime64(6, 'UTC')",),
    msgspec.inspect.DateType: ("Date", "Date32"),
    msgspec.inspect.ListType: ("Array(String)",),
    msgspec.inspect.DictType: (
        "Map(LowCardinality(String), String)",
        "Map(LowCardinality(String), Decimal(18, 6))",
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_field_has_a_column_of_its_shape(kind: str, columns: dict[str, dict[str, str]]) -> None:
    for name, declared in fields(kind):
        table, column = ELSEWHERE.get((kind, name), (TABLES[kind], name))
        assert column in columns[table], f"{kind}.{name} has no column"
        stored = columns[table][column]
        nullable = stored.startswith("Nullable(")
        members = options(declared)
        number = any(
            isinstance(m, msgspec.inspect.FloatType | msgspec.inspect.IntType | msgspec.inspect.DecimalType)
            for m in members
        )
        optional = any(isinstance(m, msgspec.inspect.NoneType) for m in members)
        # Unknown is not zero: a number that may be missing is NULL. (Text that is missing is empty.)
        if number:
            assert nullable == optional, f"{kind}.{name} is stored as {stored}"
        inner = stored.removeprefix("Nullable(").removesuffix(")") if nullable else stored
        shapes = {s for m in members for s in SHAPES.get(type(m), ())}
        assert inner in shapes, f"{kind}.{name} is stored as {stored}"


@pytest.mark.parametrize("table", ADDED)
def test_every_other_column_is_one_that_the_writer_adds(
    table: str, columns: dict[str, dict[str, str]]
) -> None:
    sent = {
        column
        for kind in TABLES
        for name, _ in fields(kind)
        for place, column in [ELSEWHERE.get((kind, name), (TABLES[kind], name))]
        if place == table
    }
    assert columns[table].keys() - sent == ADDED[table] - sent


def test_the_largest_values_fit(migrated: Settings) -> None:
    with connect(migrated) as client:
        client.insert(
            "llm_traces",
            [[2**32 - 1, MAX_USD - 1, "x" * 256]],
            column_names=["prompt_tokens", "reported_cost_usd", "trace_id"],
        )
        assert client.query("SELECT prompt_tokens, reported_cost_usd FROM llm_traces").result_rows == [
            (2**32 - 1, MAX_USD - 1)
        ]
