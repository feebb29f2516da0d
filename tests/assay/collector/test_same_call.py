"""One call, told by every source in its own way: the same tokens, and the same cost.

10,000 prompt tokens, of which 8,000 were read from the cache and 1,000 written to it, and 1,000 completion
tokens of claude-sonnet-4-5: 1,000 × 3 + 8,000 × 0.30 + 1,000 × 3.75 + 1,000 × 15 USD per million.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from assay.collector import gateway, kong, litellm
from assay.collector.native import parse
from assay.collector.otlp import OtlpSpan
from assay.collector.spans import Mapped, map_spans
from assay.contracts.records import Span, Tokens
from assay.pricing.calls import price
from assay.pricing.columns import Calls, Ints, Labels, Units
from tests.assay.collector.samples import NOW, kong_entry, litellm_payload, span
from tests.support.provider_apis import ANTHROPIC_USAGE

MODEL = "claude-sonnet-4-5"
TOKENS = Tokens(prompt=10_000, completion=1_000, cached=8_000, cache_write=1_000)
COST_USD = Decimal("0.02415")


def native(**changes: Any) -> Mapped:
    record = span(model=MODEL, provider="anthropic", **changes)
    if "usage" in record:
        del record["tokens"]
    return Mapped(*parse("span", json.dumps(record).encode(), now=NOW), 0)


def otlp(attributes: dict[str, Any]) -> Mapped:
    at = int(NOW.timestamp() - 60) * 10**9
    return map_spans(
        [OtlpSpan("ab" * 16, "cd" * 8, "", "chat", 3, at, at + 10**9, 1, attributes, [], {})], now=NOW
    )


def entries(entry: dict[str, Any], read: gateway.Read) -> Mapped:
    return gateway.map_entries(json.dumps([entry]).encode(), read, now=NOW)


SOURCES: dict[str, Callable[[], Mapped]] = {
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
    "OpenTelemetry, current names": lambda: otlp(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.input_tokens": 10_000,
            "gen_ai.usage.output_tokens": 1_000,
            "gen_ai.usage.cache_read.input_tokens": 8_000,
            "gen_ai.usage.cache_creation.input_tokens": 1_000,
        }
    ),
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
    "Kong": lambda: entries(kong_entry(), kong.read),
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_call_is_the_same_from_every_source(source: str) -> None:
    mapped = SOURCES[source]()
    assert mapped.rejects == []
    (record,) = mapped.records
    assert isinstance(record, Span)
    # Some sources also say that none of the cache writes are kept for an hour.
    assert not record.tokens.cache_write_1h
    assert msgspec.structs.replace(record.tokens, cache_write_1h=None) == TOKENS
    assert (record.model, record.provider, record.pricing_tier) == (MODEL, "anthropic", "standard")
    assert cost_usd(record) == COST_USD


def cost_usd(record: Span) -> Decimal | None:
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
        )
    )
    assert priced.status[0] == "priced"
    return priced.usd(0)
