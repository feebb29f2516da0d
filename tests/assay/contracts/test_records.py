"""Records take what sources send and refuse what breaks a rule, naming the field."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.collector.envelope import Envelope
from assay.contracts.records import RECORDS, Evaluation, Span, Tokens
from tests.support.record_examples import EXAMPLES


def decode(kind: str, record: dict[str, Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(record), type=RECORDS[kind])


def with_field(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The record with ``a.b`` set to ``value``."""
    found = copy.deepcopy(record)
    inside = found
    *parents, last = path.split(".")
    for name in parents:
        inside = inside.setdefault(name, {})
    inside[last] = value
    return found


def test_every_record_has_an_example() -> None:
    assert EXAMPLES.keys() == RECORDS.keys()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_example_is_accepted_and_travels_through_the_queue(kind: str) -> None:
    record = decode(kind, EXAMPLES[kind])
    assert Envelope.of(kind, "native", [record]).decode() == [record]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_required_fields_are_named_when_missing(kind: str) -> None:
    for field in msgspec.structs.fields(RECORDS[kind]):
        if field.required:
            missing = {k: v for k, v in EXAMPLES[kind].items() if k != field.name}
            with pytest.raises(msgspec.ValidationError, match=f"`{field.name}`"):
                decode(kind, missing)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_misspelled_field_is_refused_not_dropped(kind: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `tpyo`"):
        decode(kind, {**EXAMPLES[kind], "tpyo": 1})


BROKEN: list[tuple[str, str, Any, str]] = [
    # kind, field, value, what the message names
    ("span", "tokens.prompt", -1, "tokens.prompt"),
    ("span", "tokens.prompt", 2**32, "tokens.prompt"),
    ("span", "tokens.prompt", 1.5, "tokens.prompt"),
    ("span", "tokens.cached", 1248, "`tokens.cached`"),
    ("span", "tokens.cache_write", 448, "`tokens.cache_write`"),
    ("span", "tokens.reasoning", 343, "`tokens.reasoning`"),
    ("span", "timestamp", "2024-01-15T09:23:47", "timestamp"),
    ("span", "timestamp", "yesterday", "timestamp"),
    ("span", "timestamp", 1705310627, "timestamp"),
    ("span", "model", "", "model"),
    ("span", "tenant_id", "", "tenant_id"),
    ("span", "trace_id", "", "trace_id"),
    ("span", "trace_id", "x" * 257, "trace_id"),
    ("span", "cost_usd", -0.01, "`cost_usd`"),
    ("span", "cost_usd", "NaN", "`cost_usd`"),
    ("span", "cost_usd", "1e16", "`cost_usd`"),
    ("span", "latency_ms", -1, "latency_ms"),
    ("span", "latency_ms", 86_400_001, "latency_ms"),
    ("span", "ttft_ms", 1844, "`ttft_ms`"),
    ("span", "pricing_tier", "cheap", "pricing_tier"),
    ("span", "status", "fine", "status"),
    ("span", "quality.score", 1.01, "quality.score"),
    ("span", "quality.sampling_rate", 0, "quality.sampling_rate"),
    ("span", "units.image", -1, "`units.image`"),
    ("span", "units.image", "Infinity", "`units.image`"),
    ("span", "attributes", {"a": 1}, "attributes"),
    ("evaluation", "score", -0.1, "score"),
    ("evaluation", "score", "good", "score"),
    ("evaluation", "confidence", 2, "confidence"),
    ("evaluation", "sampling_rate", 0, "sampling_rate"),
    ("evaluation", "sampling_rate", 1.5, "sampling_rate"),
    ("evaluation", "evaluator", "", "evaluator"),
    ("outcome", "trace_id", "", "`trace_id` and `user_id`"),
    ("outcome", "value", "NaN", "`value`"),
    ("outcome", "event", "", "event"),
    ("feedback", "value", -1.5, "value"),
    ("feedback", "value", 2, "value"),
    ("label", "score", 1.5, "score"),
    ("label", "rater", "", "rater"),
    ("task_time", "human_minutes", 0, "human_minutes"),
    ("canonical_example", "complexity", 0, "complexity"),
    ("invoice", "period_end", "2024-01-01", "`period_end`"),
    ("invoice", "amount_usd", "-1", "`amount_usd`"),
    ("invoice", "period_start", "2024-13-01", "period_start"),
    ("contract", "kind", "discount", "kind"),
    ("contract", "amount_usd", "-1", "`amount_usd`"),
    ("contract", "units", 0, "`units`"),
    ("contract", "per", "year", "per"),
    ("contract", "per", "", "`per` is needed"),
    ("contract", "tokens_per_minute", 0, "`tokens_per_minute`"),
    ("contract", "pricing_tier", "cheap", "pricing_tier"),
    ("contract", "valid_to", "2023-12-31", "`valid_to`"),
    ("contract", "kind", "credit", "`per`"),
    ("exchange_rate", "currency", "USD", "`currency`"),
    ("exchange_rate", "currency", "eur", "currency"),
    ("exchange_rate", "rate", 0, "`rate`"),
    ("exchange_rate", "rate", "NaN", "`rate`"),
    ("exchange_rate", "day", "yesterday", "day"),
    ("incident", "expected", "maybe", "expected"),
    ("tenant", "tier", "gold", "tier"),
    ("tenant", "currency", "euro", "currency"),
    ("tenant", "capture", "all", "capture"),
    ("tenant", "risk_class", "high", "risk_class"),
]


@pytest.mark.parametrize(("kind", "field", "value", "names"), BROKEN)
def test_a_broken_rule_names_its_field(kind: str, field: str, value: Any, names: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        decode(kind, with_field(EXAMPLES[kind], field, value))
    assert names in str(refused.value)


BORDERS: list[tuple[str, str, Any]] = [
    ("span", "tokens", {"prompt": 0, "completion": 0}),
    ("span", "tokens", {"prompt": 10, "completion": 0, "cached": 6, "cache_write": 4}),
    ("span", "tokens.reasoning", 342),
    ("span", "ttft_ms", 1843),
    ("span", "cost_usd", "0.000000000001"),
    ("span", "cost_usd", 0),
    ("span", "trace_id", "x" * 256),
    ("evaluation", "score", None),
    ("evaluation", "score", 0),
    ("evaluation", "score", 1),
    ("evaluation", "sampling_rate", 1),
    ("feedback", "value", -1),
    ("feedback", "value", 0.4),
    ("contract", "valid_to", "2024-01-01"),
    ("contract", "amount_usd", 0),
    ("exchange_rate", "rate", "0.000001"),
]


@pytest.mark.parametrize(("kind", "field", "value"), BORDERS)
def test_borders_belong_to_the_range(kind: str, field: str, value: Any) -> None:
    decode(kind, with_field(EXAMPLES[kind], field, value))


def test_money_is_exact() -> None:
    span: Span = decode("span", with_field(EXAMPLES["span"], "cost_usd", 0.1))
    assert span.cost_usd == Decimal("0.1")
    text: Span = decode("span", with_field(EXAMPLES["span"], "cost_usd", "0.123456789012"))
    assert text.cost_usd == Decimal("0.123456789012")


def test_unknown_is_not_zero() -> None:
    bare = {k: EXAMPLES["span"][k] for k in ("trace_id", "span_id", "timestamp", "model", "tenant_id")}
    span: Span = decode("span", {**bare, "tokens": {"prompt": 1, "completion": 1}})
    assert (span.cost_usd, span.latency_ms, span.ttft_ms, span.quality) == (None, None, None, None)
    assert (span.tokens.cached, span.tokens.cache_write, span.tokens.reasoning) == (None, None, None)


ids = st.text(min_size=1, max_size=256)
tokens = st.builds(
    lambda cached, write, rest, reasoning, answer: Tokens(
        prompt=cached + write + rest,
        completion=reasoning + answer,
        cached=cached,
        cache_write=write,
        reasoning=reasoning,
    ),
    *(st.integers(0, 2**30) for _ in range(5)),
)
moments = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
amounts = st.decimals(0, 10**15, places=12, allow_nan=False, allow_infinity=False)
spans = st.builds(
    Span,
    trace_id=ids,
    span_id=ids,
    timestamp=moments,
    model=ids,
    tokens=tokens,
    tenant_id=ids,
    cost_usd=st.none() | amounts,
    latency_ms=st.none() | st.floats(1000, 86_400_000),
    ttft_ms=st.none() | st.floats(0, 1000),
    units=st.none() | st.dictionaries(ids, st.decimals(0, 10**6, places=6), max_size=3),
    attributes=st.none() | st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=3),
)
evaluations = st.builds(
    Evaluation,
    trace_id=ids,
    evaluator=ids,
    score=st.none() | st.floats(0, 1),
    timestamp=moments,
    confidence=st.none() | st.floats(0, 1),
    sampling_rate=st.floats(0, 1, exclude_min=True),
)


@given(st.lists(spans, max_size=3))
def test_spans_survive_the_queue(records: list[Span]) -> None:
    assert Envelope.of("span", "native", records).decode() == records


@given(spans | evaluations)
def test_what_a_type_holds_its_json_gives_back(record: Span | Evaluation) -> None:
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record
