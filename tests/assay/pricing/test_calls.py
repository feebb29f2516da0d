"""What calls cost: golden cases with the arithmetic in words, and equality with the price library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.pricing.calls import price
from assay.pricing.catalogue import SOURCE
from assay.pricing.columns import Calls, Labels, PricedColumns, Units

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def calls(*rows: dict[str, object]) -> Calls:
    def ints(name: str) -> np.ndarray:
        return np.array([row.get(name, 0) for row in rows], np.int64)

    def labels(name: str, default: str = "") -> Labels:
        return Labels.of([str(row.get(name, default)) for row in rows])

    return Calls(
        provider=labels("provider"),
        model=labels("model"),
        response_model=labels("response_model"),
        pricing_tier=labels("pricing_tier", "standard"),
        timestamp_us=np.array(
            [round(row.get("at", NOW).timestamp() * 1e6) for row in rows],  # type: ignore[attr-defined]
            np.int64,
        ),
        prompt=ints("prompt"),
        completion=ints("completion"),
        cached=ints("cached"),
        cache_write=ints("cache_write"),
        reasoning=ints("reasoning"),
        tenant=labels("tenant"),
        cache_write_1h=ints("cache_write_1h"),
        units=Units.of([row.get("units") for row in rows]),  # type: ignore[misc]
    )


def one(**row: object) -> PricedColumns:
    return price(calls(row))


GOLDEN = [
    pytest.param(
        # 1,000 plain input at 3 $ a million = 0.003; 8,000 cache reads at 0.30 = 0.0024;
        # 1,000 cache writes at 3.75 = 0.00375; 1,000 output at 15 = 0.015.
        {
            "model": "claude-sonnet-4-5",
            "prompt": 10_000,
            "cached": 8_000,
            "cache_write": 1_000,
            "completion": 1_000,
        },
        "0.02415",
        id="Anthropic with cache reads and writes",
    ),
    pytest.param(
        # 2,000 plain input at 2.50 = 0.005; 8,000 cached at 1.25 = 0.01; 500 output at 10 = 0.005.
        {"model": "gpt-4o", "prompt": 10_000, "cached": 8_000, "completion": 500},
        "0.02",
        id="OpenAI cached input",
    ),
    pytest.param(
        # Reasoning is output: 100 input at 1.25 = 0.000125; 1,000 output at 10 = 0.01.
        {"model": "gpt-5", "prompt": 100, "completion": 1_000, "reasoning": 800},
        "0.010125",
        id="reasoning tokens are charged as output",
    ),
    pytest.param(
        # 200,000 input at 1.25 = 0.25; 1,000 output at 10 = 0.01: exactly 200k is still the lower step.
        {"provider": "google", "model": "gemini-2.5-pro", "prompt": 200_000, "completion": 1_000},
        "0.26",
        id="Gemini at 200k",
    ),
    pytest.param(
        # One token more: everything at the upper step, 200,001 at 2.50 = 0.5000025; 1,000 output at 15 =
        # 0.015.
        {"provider": "google", "model": "gemini-2.5-pro", "prompt": 200_001, "completion": 1_000},
        "0.5150025",
        id="Gemini above 200k",
    ),
    pytest.param(
        # Half of the standard price: 1,000 input at 1.50 = 0.0015; 1,000 output at 7.50 = 0.0075.
        {"model": "claude-sonnet-4-5", "pricing_tier": "batch", "prompt": 1_000, "completion": 1_000},
        "0.009",
        id="batch tier",
    ),
    pytest.param(
        # 1,000 input at 4.25 = 0.00425; 1,000 output at 17 = 0.017.
        {"model": "gpt-4o", "pricing_tier": "priority", "prompt": 1_000, "completion": 1_000},
        "0.02125",
        id="priority tier",
    ),
    pytest.param(
        # An aborted stream is charged for what it produced: 1,000 input at 3 = 0.003, 0 output.
        {"model": "claude-sonnet-4-5", "prompt": 1_000},
        "0.003",
        id="no output",
    ),
    pytest.param(
        # The gateway's alias has no price; the model that answered has: 1,000 input at 2.50.
        {"model": "our-default", "response_model": "gpt-4o-2024-08-06", "prompt": 1_000},
        "0.0025",
        id="by the model that answered",
    ),
    pytest.param(
        {"model": "anthropic/claude-sonnet-4-5", "prompt": 1_000},
        "0.003",
        id="provider as a prefix of the model, as LiteLLM writes it",
    ),
    pytest.param(
        {"model": "claude-sonnet-4-5", "response_model": "not-a-model", "prompt": 1_000},
        "0.003",
        id="by the model that was asked for",
    ),
]


@pytest.mark.parametrize(("row", "usd"), GOLDEN)
def test_golden(row: dict[str, object], usd: str) -> None:
    priced = one(**row)
    assert priced.usd(0) == Decimal(usd)
    assert (priced.status[0], priced.reason[0], priced.source[0]) == ("priced", "", SOURCE)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"model": "no-such-model"}, "no price for model no-such-model"),
        ({"model": "gpt-4o", "provider": "our-own-vllm"}, "no price list of provider our-own-vllm"),
        ({"model": "nope", "provider": "anthropic"}, "no price for model nope of provider anthropic"),
    ],
)
def test_unknown_is_not_zero(row: dict[str, object], reason: str) -> None:
    priced = one(**row, prompt=10)
    assert priced.usd(0) is None
    assert (priced.status[0], priced.reason[0], priced.source[0]) == ("unpriced", reason, "")


def test_a_class_of_tokens_without_a_price_is_partial() -> None:
    # An embedding model has no output price: 1,000 input at 0.02 a million = 0.00002.
    model = {"model": "text-embedding-3-small", "provider": "openai"}
    priced = price(
        calls(
            {**model, "prompt": 1_000, "completion": 5},
            {**model, "prompt": 1_000},
            {**model, "completion": 5},
        )
    )
    assert [priced.usd(i) for i in range(3)] == [Decimal("0.00002"), Decimal("0.00002"), None]
    assert [priced.status[i] for i in range(3)] == ["partial", "priced", "unpriced"]
    assert priced.reason[0] == "no price for output tokens"


def test_units_without_a_price_are_partial() -> None:
    priced = one(model="gpt-4o", prompt=1_000, units={"image": Decimal(2)})
    assert (priced.usd(0), priced.status[0], priced.reason[0]) == (
        Decimal("0.0025"),
        "partial",
        "no price for unit image",
    )


def test_a_tier_without_a_price_says_so() -> None:
    priced = one(model="mistral-tiny", provider="mistral", pricing_tier="priority", prompt=1_000)
    assert priced.status[0] == "partial"
    assert priced.reason[0].startswith("no priority price for model")
    assert priced.usd(0) == one(model="mistral-tiny", provider="mistral", prompt=1_000).usd(0)


def test_prices_are_those_of_the_moment() -> None:
    # o3 went from 10 to 2 $ a million input tokens on 10 June 2025.
    priced = price(
        calls(
            {"model": "o3", "prompt": 1_000_000, "at": datetime(2025, 6, 9, 23, 59, tzinfo=UTC)},
            {"model": "o3", "prompt": 1_000_000, "at": datetime(2025, 6, 10, tzinfo=UTC)},
        )
    )
    assert [priced.usd(0), priced.usd(1)] == [10, 2]


def test_provider_is_inferred_where_it_is_not_given() -> None:
    priced = price(calls({"model": "claude-sonnet-4-5"}, {"model": "x"}, {"model": "y", "provider": "mine"}))
    assert [priced.provider[i] for i in range(3)] == ["anthropic", "", "mine"]


def test_no_calls() -> None:
    assert len(price(calls()).cost_pico) == 0


MODELS = [
    (provider.id, model.id)
    for provider in get_snapshot().providers
    for model in provider.models
    if (found := provider.find_model(model.id)) is model
]
TOKENS = st.one_of(st.integers(0, 1_000), st.integers(0, 2**32 - 1))
CONTEXTS = {
    "standard": None,
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
    "provisioned": None,
}


@st.composite
def call(draw: st.DrawFn) -> dict[str, object]:
    provider, model = draw(st.sampled_from(MODELS))
    prompt, completion = draw(TOKENS), draw(TOKENS)
    cached = draw(st.integers(0, prompt))
    return {
        "provider": provider,
        "model": model,
        "prompt": prompt,
        "completion": completion,
        "cached": cached,
        "cache_write": (written := draw(st.integers(0, prompt - cached))),
        "cache_write_1h": draw(st.integers(0, written)),
        "reasoning": draw(st.integers(0, completion)),
        "pricing_tier": draw(st.sampled_from(sorted(CONTEXTS))),
        "at": NOW + timedelta(seconds=draw(st.integers(-100_000_000, 10_000_000))),
    }


@settings(deadline=None, max_examples=150)
@given(st.lists(call(), min_size=1, max_size=20))
def test_equals_the_price_library_call_by_call(rows: list[dict[str, object]]) -> None:
    priced = price(calls(*rows))
    for i, row in enumerate(rows):
        usage = Usage(
            input_tokens=row["prompt"],
            output_tokens=row["completion"],
            cache_read_tokens=row["cached"],
            cache_write_tokens=row["cache_write"],
            cache_write_1h_tokens=row["cache_write_1h"],
            output_reasoning_tokens=row["reasoning"],
        )
        expected = get_snapshot().calc(
            usage, row["model"], row["provider"], None, row["at"], CONTEXTS[row["pricing_tier"]]
        )
        if priced.known[i]:
            total = expected.total_price.quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
            assert priced.usd(i) == total, (row, priced.reason[i])
        else:
            assert priced.status[i] == "unpriced"
            assert expected.total_price == 0
