"""What the providers' clients send, instrumented as their users instrument them: real SDKs in processes of
their own, a double of the provider over loopback, and the collector.

Each instrumentation makes three calls: an answer, a stream, an error.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import pytest

from assay.contracts.records import Span, Tokens
from tests.assay.collector.conftest import Collector
from tests.support.instrumented import ANTHROPIC_MODEL, OPENAI_MODEL
from tests.support.processes import REPOSITORY, python, wait_for
from tests.support.provider_apis import provider_apis

CALL = Tokens(prompt=10_000, completion=1_000, cached=8_000, cache_write=1_000)
THOUGHT = Tokens(prompt=10_000, completion=1_000, cached=8_000, cache_write=1_000, reasoning=200)
NOTHING = Tokens(prompt=0, completion=0)


@dataclass(frozen=True)
class Expected:
    """What is known of a call from an instrumentation's spans."""

    answer: Tokens
    stream: Tokens
    error_type: str
    model: str
    ttft: bool = True
    # Spans of the client itself, inside those of the instrumentation or apart from them.
    inner: bool = False
    apart: bool = False


EXPECTED = {
    "anthropic": Expected(CALL, CALL, "rate_limit_error", ANTHROPIC_MODEL),
    "openllmetry-anthropic": Expected(
        CALL,
        # It adds the output tokens of a stream's first event to those of its last, which counts them all.
        Tokens(prompt=10_000, completion=1_001, cached=8_000, cache_write=1_000),
        "RateLimitError",
        ANTHROPIC_MODEL,
        ttft=False,
        apart=True,
    ),
    "openinference-anthropic": Expected(CALL, CALL, "", ANTHROPIC_MODEL, ttft=False, inner=True),
    "openllmetry-openai": Expected(
        # It has no name for cache writes, and none for the reasoning of a stream.
        Tokens(prompt=10_000, completion=1_000, cached=8_000, reasoning=200),
        Tokens(prompt=10_000, completion=1_000, cached=8_000),
        "RateLimitError",
        OPENAI_MODEL,
    ),
    "openinference-openai": Expected(THOUGHT, THOUGHT, "", OPENAI_MODEL),
    # It knows no details of usage.
    "opentelemetry-openai": Expected(
        Tokens(prompt=10_000, completion=1_000),
        Tokens(prompt=10_000, completion=1_000),
        "openai.RateLimitError",
        OPENAI_MODEL,
        ttft=False,
    ),
}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """URL of the providers' double."""
    with provider_apis() as url:
        yield url


def run(module: str, *arguments: str, collector: Collector, **env: str) -> None:
    finished = subprocess.run(
        python(module, *arguments),
        cwd=REPOSITORY,
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_RESOURCE_ATTRIBUTES": "assay.tenant_id=org_42",
            "OTEL_METRICS_EXPORTER": "none",
            "NO_PROXY": "*",
            **env,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]


def spans(collector: Collector) -> list[Span]:
    assert [envelope.rejects for envelope in collector.envelopes() if envelope.rejects] == []
    return [record for record in collector.records() if isinstance(record, Span)]


@pytest.mark.parametrize("name", EXPECTED)
def test_instrumented_client(name: str, collector: Collector, provider: str) -> None:
    expected = EXPECTED[name]
    run("tests.support.instrumented", name, provider, collector=collector)
    found = spans(collector)
    if expected.inner:
        # The writer bills a call once, where it was made: inside.
        around = {record.span_id for record in found if not record.parent_span_id}
        inside = {record.parent_span_id for record in found if record.parent_span_id}
        assert around == inside
        assert len(found) == 6
        found = [record for record in found if not record.parent_span_id]
    if expected.apart:
        # The writer bills a response once.
        client = [record for record in found if "http.request.method" in (record.attributes or {})]
        found = [record for record in found if record not in client]
        assert response_ids(client) == response_ids(found)
    answer, stream, error = sorted(found, key=lambda record: record.timestamp)
    assert [record.status for record in (answer, stream, error)] == ["ok", "ok", "error"]
    assert {record.tenant_id for record in found} == {"org_42"}
    assert [bool(record.response_id) for record in (answer, stream, error)] == [True, True, False]
    assert [record.tokens for record in (answer, stream, error)] == [
        expected.answer,
        expected.stream,
        NOTHING,
    ]
    assert error.error_type == expected.error_type
    for record in found:
        assert record.model.startswith(expected.model)
        assert record.provider == ("anthropic" if expected.model == ANTHROPIC_MODEL else "openai")
        assert record.latency_ms is not None
        assert (record.input, record.output) == (None, None)
    assert answer.ttft_ms is None
    assert (stream.ttft_ms is not None) == expected.ttft
    if stream.ttft_ms is not None:
        assert 0 < stream.ttft_ms < (stream.latency_ms or 0)


def response_ids(records: list[Span]) -> list[str]:
    """In the order of the calls."""
    return [record.response_id for record in sorted(records, key=lambda record: record.timestamp)]


def test_litellm(collector: Collector, provider: str) -> None:
    """LiteLLM itself makes the payloads: an answer and a stream of Anthropic, an error of OpenAI."""
    run("tests.support.litellm_calls", provider, collector=collector)
    wait_for(lambda: len(spans(collector)) == 6, "three calls from two callbacks", 10)
    told: dict[str, list[Span]] = {"litellm": [], "otlp": []}
    for envelope in collector.envelopes():
        told[envelope.source] += [record for record in envelope.decode() if isinstance(record, Span)]
    # The writer bills a response once.
    assert response_ids(told["litellm"])[:2] == response_ids(told["otlp"])[:2]
    for source, records in told.items():
        assert_litellm(source, records)


def assert_litellm(source: str, records: list[Span]) -> None:
    """What both callbacks tell, and what the log alone does."""
    answer, stream, error = sorted(records, key=lambda record: record.timestamp)
    assert answer.response_id != stream.response_id
    assert answer.response_id.startswith("chatcmpl-")
    assert [record.status for record in (answer, stream, error)] == ["ok", "ok", "error"]
    assert {record.tenant_id for record in (answer, stream, error)} == {"org_42"}
    for record in (answer, stream):
        counts = (record.tokens.prompt, record.tokens.completion)
        assert counts == (10_000, 1_000)
        assert (record.model, record.provider) == (ANTHROPIC_MODEL, "anthropic")
        assert (record.tokens.cached, record.tokens.cache_write) == (8_000, 1_000)
        assert record.cost_usd == Decimal("0.02415")
    assert (error.model, error.tokens, error.cost_usd) == (OPENAI_MODEL, NOTHING, None)
    if source == "litellm":
        assert (error.error_type, error.provider) == ("RateLimitError", "openai")
        assert stream.ttft_ms is not None
        assert answer.ttft_ms is None
