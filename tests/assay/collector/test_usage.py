"""The providers' usage blocks, as their API references and clients have them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Usage
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openai.types import CompletionUsage
from openai.types.responses import ResponseUsage

from assay.collector.native import parse
from assay.collector.usage import MAX_TOKENS, UnreadableError, settle, tokens_of
from assay.contracts.records import Span, Tokens
from tests.assay.collector.samples import NOW, span
from tests.support.provider_apis import ANTHROPIC_USAGE, OPENAI_USAGE, RESPONSES_USAGE

CALL = Tokens(prompt=10_000, completion=1_000, cached=8_000, cache_write=1_000)
# Anthropic says how long each write is kept.
BY_LIFETIME = replace(CALL, cache_write_1h=0)
THOUGHT = Tokens(prompt=10_000, completion=1_000, cached=8_000, cache_write=1_000, reasoning=200)


@pytest.mark.parametrize(
    ("block", "tokens"),
    [
        pytest.param(ANTHROPIC_USAGE, BY_LIFETIME, id="anthropic"),
        pytest.param(
            {
                "input_tokens": 1_000,
                "output_tokens": 1_000,
                "cache_read_input_tokens": 8_000,
                "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
                "output_tokens_details": {"thinking_tokens": 200},
            },
            replace(THOUGHT, cache_write_1h=600),
            id="anthropic, cache writes by lifetime",
        ),
        pytest.param({"input_tokens": 5, "output_tokens": 2}, Tokens(prompt=5, completion=2), id="no cache"),
        pytest.param(
            {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": None, "cache_creation": None},
            Tokens(prompt=5, completion=2),
            id="anthropic, nulls",
        ),
        pytest.param(OPENAI_USAGE, THOUGHT, id="openai chat"),
        pytest.param(RESPONSES_USAGE, THOUGHT, id="openai responses"),
        pytest.param(
            {"prompt_tokens": 7, "total_tokens": 7}, Tokens(prompt=7, completion=0), id="embeddings"
        ),
        pytest.param(
            {
                "prompt_tokens": 1_000,
                "completion_tokens": 1_000,
                "total_tokens": 11_000,
                "cache_read_input_tokens": 8_000,
                "cache_creation_input_tokens": 1_000,
            },
            CALL,
            id="a gateway that leaves the cache out of the prompt",
        ),
        pytest.param(
            {
                "promptTokenCount": 9_000,
                "toolUsePromptTokenCount": 1_000,
                "cachedContentTokenCount": 8_000,
                "candidatesTokenCount": 800,
                "thoughtsTokenCount": 200,
                "totalTokenCount": 11_000,
            },
            Tokens(prompt=10_000, completion=1_000, cached=8_000, reasoning=200),
            id="gemini",
        ),
        pytest.param(
            {"prompt_token_count": 10, "candidates_token_count": 3, "thoughts_token_count": None},
            Tokens(prompt=10, completion=3),
            id="gemini, python sdk",
        ),
        pytest.param(
            {
                "inputTokens": 1_000,
                "outputTokens": 1_000,
                "totalTokens": 11_000,
                "cacheReadInputTokens": 8_000,
                "cacheWriteInputTokens": 1_000,
            },
            CALL,
            id="bedrock converse",
        ),
    ],
)
def test_blocks_of_the_providers(block: dict[str, Any], tokens: Tokens) -> None:
    assert tokens_of(block) == tokens


def test_blocks_of_the_clients_themselves() -> None:
    for model, block in (
        (Usage, ANTHROPIC_USAGE),
        (CompletionUsage, OPENAI_USAGE),
        (ResponseUsage, RESPONSES_USAGE),
    ):
        dumped = model.model_validate(block).model_dump()
        assert tokens_of(dumped) == tokens_of(block)


@pytest.mark.parametrize(
    ("block", "field", "reason"),
    [
        ({}, "usage", "no usage block that is known"),
        ({"tokens": 5}, "usage", "got `tokens`"),
        ({"input_tokens": -1, "output_tokens": 1}, "usage.input_tokens", "'-1' is no token count"),
        ({"input_tokens": 1.5, "output_tokens": 1}, "usage.input_tokens", "'1.5' is no token count"),
        ({"input_tokens": True, "output_tokens": 1}, "usage.input_tokens", "no token count"),
        ({"output_tokens": 1}, "usage.input_tokens", "`usage.input_tokens` is missing"),
        ({"input_tokens": 1}, "usage.output_tokens", "`usage.output_tokens` is missing"),
        ({"completion_tokens": 1}, "usage.prompt_tokens", "is missing"),
        (
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": "many"}},
            "usage.prompt_tokens_details.cached_tokens",
            "no token count",
        ),
        (
            {"input_tokens": MAX_TOKENS, "output_tokens": 1, "cache_read_input_tokens": 1},
            "usage",
            "more than",
        ),
        (
            {"promptTokenCount": 5, "cachedContentTokenCount": 6},
            "usage",
            "exceed `tokens.prompt` = 5",
        ),
    ],
)
def test_what_is_no_block(block: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(UnreadableError) as error:
        tokens_of(block)
    assert error.value.field == field
    assert reason in error.value.reason


_counts = st.integers(0, 1_000_000)


@given(_counts, _counts, _counts, _counts, st.data())
def test_every_provider_counts_the_same_call_the_same(
    plain: int, read: int, written: int, completion: int, data: st.DataObject
) -> None:
    thought = data.draw(st.integers(0, completion))
    prompt = plain + read + written
    expected = Tokens(
        prompt=prompt, completion=completion, cached=read, cache_write=written, reasoning=thought
    )
    anthropic = {
        "input_tokens": plain,
        "output_tokens": completion,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens_details": {"thinking_tokens": thought},
    }
    responses = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": prompt + completion,
    }
    assert tokens_of(anthropic) == tokens_of(responses) == expected


_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_names = st.sampled_from(
    [
        *ANTHROPIC_USAGE,
        *OPENAI_USAGE,
        *RESPONSES_USAGE,
        "promptTokenCount",
        "inputTokens",
        "outputTokens",
        "x",
    ]
)


@given(st.dictionaries(_names, _values | st.dictionaries(_names, _values) | st.lists(_values)))
def test_anything_is_tokens_or_unreadable(block: dict[str, Any]) -> None:
    try:
        tokens = tokens_of(block)
    except UnreadableError:
        return
    assert 0 <= (tokens.cached or 0) + (tokens.cache_write or 0) <= tokens.prompt <= MAX_TOKENS


@given(_counts, _counts, st.none() | _counts, st.none() | _counts, st.none() | _counts, st.none() | _counts)
def test_settled_counts_keep_the_contract(
    prompt: int,
    completion: int,
    cached: int | None,
    written: int | None,
    thought: int | None,
    total: int | None,
) -> None:
    counts = settle(
        prompt=prompt,
        completion=completion,
        cached=cached,
        cache_write=written,
        reasoning=thought,
        total=total,
    )
    assert Tokens(**counts).prompt >= prompt


# -- in place of `tokens` ------------------------------------------------------------------------------------


def with_usage(block: object, **changes: Any) -> bytes:
    record = span(model="claude-sonnet-4-5", provider="anthropic", usage=block, **changes)
    del record["tokens"]
    return json.dumps(record).encode()


def test_a_span_with_a_usage_block() -> None:
    records, rejects = parse("span", with_usage(ANTHROPIC_USAGE), now=NOW)
    assert rejects == []
    assert [record.tokens for record in records if isinstance(record, Span)] == [BY_LIFETIME]


def test_usage_and_tokens_may_mix_within_a_batch() -> None:
    records, rejects = parse(
        "span", b"[" + with_usage(ANTHROPIC_USAGE) + b"," + json.dumps(span()).encode() + b"]", now=NOW
    )
    assert rejects == []
    assert [record.tokens.prompt for record in records if isinstance(record, Span)] == [10_000, 1247]


@pytest.mark.parametrize(
    ("changes", "tier"),
    [({}, "batch"), ({"pricing_tier": "priority"}, "priority")],
)
def test_the_tier_of_the_block_is_the_calls(changes: dict[str, str], tier: str) -> None:
    records, _ = parse("span", with_usage(ANTHROPIC_USAGE | {"service_tier": "batch"}, **changes), now=NOW)
    assert [record.pricing_tier for record in records if isinstance(record, Span)] == [tier]


def test_a_cost_beside_a_usage_block_keeps_every_digit() -> None:
    records, _ = parse(
        "span", with_usage(ANTHROPIC_USAGE, cost_usd=0.1).replace(b"0.1", b"0.123456789012"), now=NOW
    )
    assert [str(record.cost_usd) for record in records if isinstance(record, Span)] == ["0.123456789012"]


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        (json.dumps(span(usage=ANTHROPIC_USAGE)).encode(), "usage", "in place of `tokens`: send one of them"),
        (with_usage(7), "usage", "has to be the provider's usage block"),
        (with_usage(None), "usage", "has to be the provider's usage block"),
        (with_usage({"input_tokens": "x", "output_tokens": 1}), "usage.input_tokens", "no token count"),
        (with_usage({"a": 1}), "usage", "no usage block that is known"),
        (with_usage(ANTHROPIC_USAGE, bogus=1), "bogus", "unknown field"),
    ],
)
def test_a_bad_usage_block_costs_its_span_alone(body: bytes, field: str, reason: str) -> None:
    records, rejects = parse("span", b"[" + body + b"," + with_usage(ANTHROPIC_USAGE) + b"]", now=NOW)
    assert len(records) == 1
    assert [(reject.index, reject.field) for reject in rejects] == [(0, field)]
    assert reason in rejects[0].reason


def test_other_records_have_no_usage_block() -> None:
    body = json.dumps(
        {"trace_id": "t", "event": "e", "timestamp": "2024-01-15T09:30:00Z", "usage": {}}
    ).encode()
    _, rejects = parse("outcome", body, now=NOW)
    assert [reject.field for reject in rejects] == ["usage"]
