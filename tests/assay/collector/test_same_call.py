"""One call, told by every source in its own way: the same tokens, and the same cost.

``CACHED``: 10,000 prompt tokens, of which 8,000 were read from the cache and 1,000 written to it, and 1,000
completion tokens of claude-sonnet-4-5: 1,000 × 3 + 8,000 × 0.30 + 1,000 × 3.75 + 1,000 × 15 USD per million.

``THOUGHT``, of a provider that charges nothing for cache writes: 10,000 prompt tokens, of which 8,000 were
cached, and 1,000 completion tokens, of which 600 reasoning, of gemini-2.5-flash: 2,000 × 0.30 + 8,000 × 0.03
+ 1,000 × 2.50 USD per million.

``IMAGE``: three images of imagen-4.0-fast at 0.02 USD, and no tokens.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from assay.cli import files
from assay.collector import gateway, kong, litellm
from assay.collector.native import parse
from assay.collector.otlp import OtlpSpan, decode_protobuf
from assay.collector.otlp_json import decode_json
from assay.collector.spans import Mapped, map_spans
from assay.contracts.records import Span, Tokens
from assay.pricing.calls import price
from assay.pricing.columns import Calls, Ints, Labels, Units
from assay.pricing.overrides import Override
from assay.pricing.table import LIST_PRICES, PriceTable
from tests.assay.collector.samples import NOW, kong_entry, litellm_payload, span
from tests.support.provider_apis import ANTHROPIC_USAGE, OPENAI_USAGE, RESPONSES_USAGE

MODEL = "claude-sonnet-4-5"
TOKENS = Tokens(prompt=10_000, completion=1_000, cached=8_000, cache_write=1_000)
COUNTS = ("prompt", "completion", "cached", "cache_write")
COST_USD = Decimal("0.02415")


def call(**changes: Any) -> dict[str, Any]:
    record = span(**{"model": MODEL, "provider": "anthropic", **changes})
    if "usage" in record:
        del record["tokens"]
    return record


def native(**changes: Any) -> Mapped:
    return Mapped(*parse("span", json.dumps(call(**changes)).encode(), now=NOW), 0)


def loaded(suffix: str, write: Callable[[Path, dict[str, Any]], object]) -> Mapped:
    """As `assay load spans` reads a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"calls{suffix}"
        write(path, call(tokens={name: getattr(TOKENS, name) for name in COUNTS}))
        with files.opened(path) as file:
            (parsed,) = files.batches("span", file)
    return Mapped(*parsed, 0)


def flat(record: dict[str, Any]) -> str:
    """As CSV, with a column for each count."""
    cells = {name: value for name, value in record.items() if name != "tokens"}
    cells |= {f"tokens.{name}": count for name, count in record["tokens"].items()}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(cells))
    writer.writeheader()
    writer.writerow(cells)
    return text.getvalue()


def wire(attributes: dict[str, Any], convention: str) -> Mapped:
    """Through OTLP's own encodings; in JSON 64-bit counts are strings."""
    at = str(int(NOW.timestamp() - 60) * 10**9)
    pairs = [
        {"key": name, "value": {"stringValue": value} if isinstance(value, str) else {"intValue": str(value)}}
        for name, value in attributes.items()
    ]
    sent = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "chat", "kind": 3, "attributes": pairs}
    sent |= {"startTimeUnixNano": at, "endTimeUnixNano": at}
    if convention == "json":
        body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [sent]}]}]}).encode()
        return map_spans(decode_json(body), now=NOW)
    request = ExportTraceServiceRequest()
    told = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="chat", kind=3, start_time_unix_nano=int(at))
    )
    for name, value in attributes.items():
        kept = told.attributes.add(key=name).value
        setattr(kept, "string_value" if isinstance(value, str) else "int_value", value)
    return map_spans(decode_protobuf(request.SerializeToString()), now=NOW)


def otlp(attributes: dict[str, Any]) -> Mapped:
    at = int(NOW.timestamp() - 60) * 10**9
    return map_spans(
        [OtlpSpan("ab" * 16, "cd" * 8, "", "chat", 3, at, at + 10**9, 1, attributes, [], {})], now=NOW
    )


def entries(entry: dict[str, Any], read: gateway.Read) -> Mapped:
    return gateway.map_entries(json.dumps([entry]).encode(), read, now=NOW)


CURRENT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": MODEL,
    "gen_ai.usage.input_tokens": 10_000,
    "gen_ai.usage.output_tokens": 1_000,
    "gen_ai.usage.cache_read.input_tokens": 8_000,
    "gen_ai.usage.cache_creation.input_tokens": 1_000,
}

CACHED: dict[str, Callable[[], Mapped]] = {
    "native": lambda: native(tokens=msgspec.to_builtins(TOKENS)),
    "Anthropic usage": lambda: native(usage=ANTHROPIC_USAGE),
    "Bedrock usage": lambda: native(
        usage={
            "inputTokens": 1_000,
            "outputTokens": 1_000,
            "cacheReadInputTokens": 8_000,
            "cacheWriteInputTokens": 1_000,
        }
    ),
    "OpenTelemetry, current names": lambda: otlp(CURRENT),
    "OpenTelemetry, protobuf": lambda: wire(CURRENT, "protobuf"),
    "OpenTelemetry, JSON": lambda: wire(CURRENT, "json"),
    "OpenTelemetry, previous names": lambda: otlp(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "anthropic",
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.prompt_tokens": 10_000,
            "gen_ai.usage.completion_tokens": 1_000,
            "gen_ai.usage.cache_read_input_tokens": 8_000,
            "gen_ai.usage.cache_creation_input_tokens": 1_000,
        }
    ),
    "OpenTelemetry, cache left out": lambda: otlp(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "anthropic",
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.input_tokens": 1_000,
            "gen_ai.usage.output_tokens": 1_000,
            "gen_ai.usage.cache_read_input_tokens": 8_000,
            "gen_ai.usage.cache_creation_input_tokens": 1_000,
        }
    ),
    "OpenInference": lambda: otlp(
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "anthropic",
            "llm.model_name": MODEL,
            "llm.token_count.prompt": 10_000,
            "llm.token_count.completion": 1_000,
            "llm.token_count.total": 11_000,
            "llm.token_count.prompt_details.cache_read": 8_000,
            "llm.token_count.prompt_details.cache_write": 1_000,
        }
    ),
    "OpenLLMetry": lambda: otlp(
        {
            "llm.request.type": "chat",
            "gen_ai.system": "Anthropic",
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.prompt_tokens": 10_000,
            "gen_ai.usage.completion_tokens": 1_000,
            "llm.usage.total_tokens": 11_000,
            "gen_ai.usage.cache_read_input_tokens": 8_000,
            "gen_ai.usage.cache_creation_input_tokens": 1_000,
        }
    ),
    "LiteLLM": lambda: entries(litellm_payload(), litellm.read),
    "LiteLLM, over OpenTelemetry": lambda: otlp(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "anthropic",
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.prompt_tokens": 10_000,
            "gen_ai.usage.completion_tokens": 1_000,
            "gen_ai.usage.total_tokens": 11_000,
            "metadata.usage_object": json.dumps(litellm_payload()["metadata"]["usage_object"]),
        }
    ),
    "Kong": lambda: entries(kong_entry(), kong.read),
    "NDJSON": lambda: loaded(".ndjson", lambda path, record: path.write_text(json.dumps(record))),
    "JSON": lambda: loaded(".json", lambda path, record: path.write_text(json.dumps([record], indent=1))),
    "CSV": lambda: loaded(".csv", lambda path, record: path.write_text(flat(record))),
    "Parquet": lambda: loaded(
        ".parquet", lambda path, record: pa.parquet.write_table(pa.Table.from_pylist([record]), path)
    ),
}
GEMINI = {"model": "gemini-2.5-flash", "provider": "gcp.gemini"}
THOUGHT: dict[str, Callable[[], Mapped]] = {
    "native": lambda: native(
        **GEMINI, tokens={"prompt": 10_000, "completion": 1_000, "cached": 8_000, "reasoning": 600}
    ),
    # Thoughts stand beside the answer there, and prompts of tools beside the prompt.
    "Gemini usage": lambda: native(
        **GEMINI,
        usage={
            "promptTokenCount": 9_500,
            "toolUsePromptTokenCount": 500,
            "cachedContentTokenCount": 8_000,
            "candidatesTokenCount": 400,
            "thoughtsTokenCount": 600,
            "totalTokenCount": 11_000,
        },
    ),
    "Gemini usage, Python SDK": lambda: native(
        **GEMINI,
        usage={
            "prompt_token_count": 10_000,
            "cached_content_token_count": 8_000,
            "candidates_token_count": 400,
            "thoughts_token_count": 600,
        },
    ),
    "OpenAI usage": lambda: native(**GEMINI, usage=thinking(OPENAI_USAGE)),
    "OpenAI usage, responses": lambda: native(**GEMINI, usage=thinking(RESPONSES_USAGE)),
    "OpenTelemetry": lambda: otlp(
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gen_ai.usage.input_tokens": 10_000,
            "gen_ai.usage.output_tokens": 1_000,
            "gen_ai.usage.cache_read.input_tokens": 8_000,
            "gen_ai.usage.reasoning.output_tokens": 600,
        }
    ),
    "OpenTelemetry, reasoning left out": lambda: otlp(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "gemini",
            "gen_ai.request.model": "gemini-2.5-flash",
            "gen_ai.usage.input_tokens": 10_000,
            "gen_ai.usage.output_tokens": 400,
            "gen_ai.usage.total_tokens": 11_000,
            "gen_ai.usage.cache_read.input_tokens": 8_000,
            "gen_ai.usage.reasoning_tokens": 600,
        }
    ),
    "OpenInference": lambda: otlp(
        {
            "openinference.span.kind": "LLM",
            "llm.provider": "gemini",
            "llm.model_name": "gemini-2.5-flash",
            "llm.token_count.prompt": 10_000,
            "llm.token_count.completion": 1_000,
            "llm.token_count.prompt_details.cache_read": 8_000,
            "llm.token_count.completion_details.reasoning": 600,
        }
    ),
}
IMAGEN = "imagen-4.0-fast-generate-001"
IMAGES = PriceTable(
    [
        Override(
            provider="google",
            model=IMAGEN,
            token_class="image",
            price_usd=Decimal("0.02"),
            valid_from=NOW.replace(year=2023),
            source="price page",
        )
    ]
)
IMAGE: dict[str, Callable[[], Mapped]] = {
    "native": lambda: native(
        model=IMAGEN, provider="google", tokens={"prompt": 0, "completion": 0}, units={"image": 3}
    ),
    "OpenTelemetry": lambda: otlp(
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": IMAGEN,
            "assay.units.image": 3,
        }
    ),
    "OpenTelemetry, as text": lambda: otlp(
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": IMAGEN,
            "assay.units.image": "3",
        }
    ),
    "LiteLLM": lambda: entries(
        litellm_payload(
            model=IMAGEN,
            custom_llm_provider="gemini",
            call_type="aimage_generation",
            metadata={
                "user_api_key_team_id": "org_42",
                "usage_object": {"prompt_tokens": 0, "completion_tokens": 0, "output_image_count": 3},
            },
            response={},
        ),
        litellm.read,
    ),
}


def thinking(usage: dict[str, Any]) -> dict[str, Any]:
    """A usage block of OpenAI's with 600 tokens of reasoning and nothing written to the cache."""
    for name, counts in {
        "prompt_tokens_details": {"cached_tokens": 8_000},
        "input_tokens_details": {"cached_tokens": 8_000},
        "completion_tokens_details": {"reasoning_tokens": 600},
        "output_tokens_details": {"reasoning_tokens": 600},
    }.items():
        if name in usage:
            usage = usage | {name: counts}
    return usage


@pytest.mark.parametrize("source", CACHED)
def test_the_same_call_is_the_same_from_every_source(source: str) -> None:
    record = told(CACHED[source])
    # Some sources also say that none of the cache writes are kept for an hour.
    assert not record.tokens.cache_write_1h
    assert msgspec.structs.replace(record.tokens, cache_write_1h=None) == TOKENS
    assert (record.model, record.provider, record.pricing_tier) == (MODEL, "anthropic", "standard")
    assert cost_usd(record) == COST_USD


@pytest.mark.parametrize("source", THOUGHT)
def test_reasoning_is_the_same_from_every_source(source: str) -> None:
    record = told(THOUGHT[source])
    assert record.tokens == Tokens(prompt=10_000, completion=1_000, cached=8_000, reasoning=600)
    assert record.provider == "gcp.gemini"
    assert cost_usd(record) == Decimal("0.00334")


@pytest.mark.parametrize("source", IMAGE)
def test_what_is_not_billed_by_token_is_the_same_from_every_source(source: str) -> None:
    record = told(IMAGE[source])
    assert record.units == {"image": Decimal(3)}
    assert record.attributes is None or "assay.units.image" not in record.attributes
    assert cost_usd(record, IMAGES) == Decimal("0.06")


def test_a_count_of_units_that_is_none_is_named() -> None:
    (reject,) = otlp(CURRENT | {"assay.units.image": "three"}).rejects
    assert (reject.field, reject.reason) == ("units.image", "`assay.units.image` = 'three' is no count")


def told(source: Callable[[], Mapped]) -> Span:
    """The one record that a source makes of the call."""
    mapped = source()
    assert mapped.rejects == []
    (record,) = mapped.records
    assert isinstance(record, Span)
    return record


def cost_usd(record: Span, table: PriceTable = LIST_PRICES) -> Decimal | None:
    """What the writer charges for the call."""

    def count(number: int | None) -> Ints:
        return np.array([number or 0], np.int64)

    priced = price(
        Calls(
            provider=Labels.of([record.provider]),
            model=Labels.of([record.model]),
            response_model=Labels.of([record.response_model]),
            pricing_tier=Labels.of([record.pricing_tier]),
            timestamp_us=count(round(record.timestamp.timestamp() * 1e6)),
            prompt=count(record.tokens.prompt),
            completion=count(record.tokens.completion),
            cached=count(record.tokens.cached),
            cache_write=count(record.tokens.cache_write),
            reasoning=count(record.tokens.reasoning),
            units=Units.of([record.units]),
        ),
        table,
    )
    assert priced.status[0] == "priced"
    return priced.usd(0)
