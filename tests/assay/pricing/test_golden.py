"""What FinOps checks against an invoice: each case with its arithmetic in words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from assay.pricing.calls import price
from assay.pricing.catalogue import SOURCE
from assay.pricing.overrides import Override
from assay.pricing.table import PriceTable
from tests.assay.pricing.test_calls import calls

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONTRACT = Override(
    tenant_id="org_42",
    model="claude-sonnet-4-5",
    token_class="",
    discount_factor=Decimal("0.85"),
    valid_from=datetime(2026, 7, 1, tzinfo=UTC),
    valid_to=datetime(2027, 7, 1, tzinfo=UTC),
    source="contract 2026-07",
)
IMAGES = Override(
    provider="openai",
    model="dall-e-3",
    token_class="image",
    price_usd=Decimal("0.04"),
    valid_from=datetime(2023, 11, 6, tzinfo=UTC),
    source="price page",
)
NO_PROMPT = Override(
    provider="openai",
    model="dall-e-3",
    token_class="input",
    price_usd=Decimal(0),
    valid_from=datetime(2023, 11, 6, tzinfo=UTC),
    source="price page",
)
TOOLS = Override(
    model="gpt-4o",
    token_class="tool_call",
    price_usd=Decimal("0.0025"),
    valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    source="tool provider",
)
GPU = Override(
    provider="vllm",
    model="llama-*",
    token_class="gpu_hour",
    price_usd=Decimal("2.49"),
    valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    source="cloud invoice",
)
TABLE = PriceTable([CONTRACT, IMAGES, NO_PROMPT, TOOLS, GPU])

CASES = [
    pytest.param(
        # 1,000 input at 3.00 a million = 0.003; 8,000 cache reads at 0.30 = 0.0024; 1,000 cache writes of 5
        # minutes at 3.75 = 0.00375; 1,000 output at 15 = 0.015.
        {
            "model": "claude-sonnet-4-5",
            "prompt": 10_000,
            "cached": 8_000,
            "cache_write": 1_000,
            "completion": 1_000,
        },
        "0.02415",
        "priced",
        SOURCE,
        id="Anthropic, cache reads and writes of 5 minutes",
    ),
    pytest.param(
        # 1,000 input = 0.003; 5,000 cache reads = 0.0015; of 4,000 cache writes 1,000 of 5 minutes at 3.75 =
        # 0.00375 and 3,000 of 1 hour at 6.00 (twice the input price) = 0.018; 1,000 output = 0.015.
        {
            "model": "claude-sonnet-4-5",
            "prompt": 10_000,
            "cached": 5_000,
            "cache_write": 4_000,
            "cache_write_1h": 3_000,
            "completion": 1_000,
        },
        "0.04125",
        "priced",
        SOURCE,
        id="Anthropic, cache writes of 5 minutes and of 1 hour",
    ),
    pytest.param(
        # 2,000 input at 2.50 = 0.005; 8,000 cached at 1.25 = 0.01; 500 output at 10 = 0.005.
        {"model": "gpt-4o", "prompt": 10_000, "cached": 8_000, "completion": 500},
        "0.02",
        "priced",
        SOURCE,
        id="OpenAI, cached input",
    ),
    pytest.param(
        # Above 200k the whole call is at the upper step: 200,001 at 2.50 = 0.5000025; 1,000 output at 15 =
        # 0.015.
        {"provider": "google", "model": "gemini-2.5-pro", "prompt": 200_001, "completion": 1_000},
        "0.5150025",
        "priced",
        SOURCE,
        id="Gemini above 200k of context",
    ),
    pytest.param(
        # Half of everything: 1,000 input at 1.50 = 0.0015; 1,000 cache reads at 0.15 = 0.00015; 1,000 cache
        # writes of 1 hour at 3.00 = 0.003; 1,000 output at 7.50 = 0.0075.
        {
            "model": "claude-sonnet-4-5",
            "pricing_tier": "batch",
            "prompt": 3_000,
            "cached": 1_000,
            "cache_write": 1_000,
            "cache_write_1h": 1_000,
            "completion": 1_000,
        },
        "0.01215",
        "priced",
        SOURCE,
        id="batch tier",
    ),
    pytest.param(
        # 15 % off the list: 0.02415 × 0.85.
        {
            "tenant": "org_42",
            "model": "claude-sonnet-4-5",
            "prompt": 10_000,
            "cached": 8_000,
            "cache_write": 1_000,
            "completion": 1_000,
        },
        "0.0205275",
        "priced",
        f"{SOURCE}; override {CONTRACT.id}",
        id="negotiated, within the contract",
    ),
    pytest.param(
        # The last moment before the contract: 1,000 input at 3.00.
        {
            "tenant": "org_42",
            "model": "claude-sonnet-4-5",
            "prompt": 1_000,
            "at": datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC),
        },
        "0.003",
        "priced",
        SOURCE,
        id="negotiated, before the contract",
    ),
    pytest.param(
        # The first moment after it.
        {
            "tenant": "org_42",
            "model": "claude-sonnet-4-5",
            "prompt": 1_000,
            "at": datetime(2027, 7, 1, tzinfo=UTC),
        },
        "0.003",
        "priced",
        SOURCE,
        id="negotiated, after the contract",
    ),
    pytest.param(
        {"tenant": "org_7", "model": "claude-sonnet-4-5", "prompt": 1_000},
        "0.003",
        "priced",
        SOURCE,
        id="negotiated, another tenant",
    ),
    pytest.param(
        # 3 images at 0.04; the prompt is free.
        {"provider": "openai", "model": "dall-e-3", "prompt": 40, "units": {"image": Decimal(3)}},
        "0.12",
        "priced",
        f"override {', '.join(sorted([IMAGES.id, NO_PROMPT.id]))}",
        id="images",
    ),
    pytest.param(
        # 1,000 input at 2.50 = 0.0025; 2 tool calls at 0.0025 = 0.005.
        {"model": "gpt-4o", "prompt": 1_000, "units": {"tool_call": Decimal(2)}},
        "0.0075",
        "priced",
        f"{SOURCE}; override {TOOLS.id}",
        id="tool calls",
    ),
    pytest.param(
        # The list has 0.36 an hour: 90.5 seconds at 0.0001.
        {"provider": "openai", "model": "whisper-1", "units": {"audio_second": Decimal("90.5")}},
        "0.00905",
        "priced",
        SOURCE,
        id="seconds of audio",
    ),
    pytest.param(
        # A model of one's own costs its machine: 0.000125 hours at 2.49; its tokens have no price.
        {"provider": "vllm", "model": "llama-3-70b", "units": {"gpu_hour": Decimal("0.000125")}},
        "0.00031125",
        "priced",
        f"override {GPU.id}",
        id="GPU hours",
    ),
    pytest.param(
        # Stopped after 7 of many tokens: 1,000 input at 3 = 0.003; 7 output at 15 = 0.000105.
        {"model": "claude-sonnet-4-5", "prompt": 1_000, "completion": 7},
        "0.003105",
        "priced",
        SOURCE,
        id="aborted stream",
    ),
    pytest.param(
        {"model": "no-such-model", "prompt": 1_000, "completion": 10},
        None,
        "unpriced",
        "",
        id="unknown model",
    ),
]


@pytest.mark.parametrize(("row", "usd", "status", "source"), CASES)
def test_golden(row: dict[str, Any], usd: str | None, status: str, source: str) -> None:
    priced = price(calls({"at": NOW, **row}), TABLE)
    assert priced.usd(0) == (None if usd is None else Decimal(usd))
    assert (priced.status[0], priced.source[0]) == (status, source)


def test_all_at_once_they_cost_the_same() -> None:
    rows = [{"at": NOW, **case.values[0]} for case in CASES]  # type: ignore[dict-item]
    priced = price(calls(*rows), TABLE)
    expected = [None if case.values[1] is None else Decimal(str(case.values[1])) for case in CASES]
    assert [priced.usd(i) for i in range(len(rows))] == expected


def test_what_is_not_known_is_said() -> None:
    """The rest of the call is charged, and marked as a part."""
    priced = price(
        calls({"model": "gpt-4o", "prompt": 1_000, "units": {"tool_call": Decimal(1), "fax": Decimal(2)}}),
        TABLE,
    )
    assert (priced.usd(0), priced.status[0]) == (Decimal("0.005"), "partial")
    assert priced.reason[0] == "no price for unit fax"


def test_an_hour_without_a_price_of_its_own_is_said() -> None:
    row = Override(
        model="own", token_class="cache_write_5m", price_usd=Decimal(4), valid_from=NOW, source="contract"
    )
    priced = price(
        calls(
            {
                "provider": "p",
                "model": "own",
                "prompt": 10,
                "cache_write": 10,
                "cache_write_1h": 10,
                "at": NOW,
            }
        ),
        PriceTable([row]),
    )
    assert (priced.usd(0), priced.status[0]) == (Decimal("0.00004"), "partial")
    assert "1 hour" in priced.reason[0]
