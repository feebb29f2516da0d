"""Which price applies: the same prices by which calls are charged, with where they are from."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest

from assay.pricing.applied import Answer, Applied, applied
from assay.pricing.calls import price
from assay.pricing.cards import TOKEN_CLASSES
from assay.pricing.catalogue import SOURCE
from assay.pricing.columns import Calls, Labels
from assay.pricing.overrides import Override
from assay.pricing.table import PriceTable

NOW = datetime(2026, 11, 20, tzinfo=UTC)
START = datetime(2026, 7, 1, tzinfo=UTC)
CONTRACT = Override(
    source="contract 2026-07", tenant_id="org_42", discount_factor=Decimal("0.85"), valid_from=START
)
HOUR = Override(
    source="page",
    model="claude-*",
    token_class="cache_write_1h",
    price_usd=Decimal("7.123456789012"),
    valid_from=START,
)
GPU = Override(
    source="invoice", provider="vllm", token_class="gpu_hour", price_usd=Decimal("2.49"), valid_from=START
)
TABLE = PriceTable([CONTRACT, HOUR, GPU])


def ask(model: str, provider: str = "", tenant: str = "", tier: str = "standard") -> Answer:
    return applied(TABLE, model, provider=provider, tenant=tenant, tier=tier, at=NOW)


def of(answer: Answer, name: str) -> Applied:
    (found,) = (price for price in answer.prices if price.name == name)
    return found


@pytest.mark.parametrize("prompt", [100_000, 300_000])
@pytest.mark.parametrize("tenant", ["", "org_42"])
@pytest.mark.parametrize("tier", ["standard", "batch", "priority"])
@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("claude-sonnet-4-5", ""),
        ("claude-sonnet-4-5", "bedrock"),
        ("gpt-4o", "azure"),
        ("gemini-2.5-pro", "vertex_ai"),
        ("gpt-5", "openai"),
    ],
)
def test_what_is_told_is_what_is_charged(
    model: str, provider: str, tier: str, tenant: str, prompt: int
) -> None:
    """A call with tokens of every class costs the sum of the prices that are told, each for its tokens."""
    count = {"cache_read": 1_000, "cache_write_5m": 700, "cache_write_1h": 300, "output": 500}
    count |= {"input": prompt - 2_000, "reasoning": 200}

    def column(number: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([number], np.int64)

    priced = price(
        Calls(
            provider=Labels.of([provider]),
            model=Labels.of([model]),
            response_model=Labels.of([""]),
            pricing_tier=Labels.of([tier]),
            timestamp_us=column(int(NOW.timestamp()) * 10**6),
            prompt=column(prompt),
            completion=column(700),
            cached=column(1_000),
            cache_write=column(1_000),
            reasoning=column(200),
            tenant=Labels.of([tenant]),
            cache_write_1h=column(300),
        ),
        TABLE,
    )
    answer = ask(model, provider, tenant, tier)
    total, notes = Decimal(0), set()
    for name in TOKEN_CLASSES:
        found = of(answer, name)
        assert found.rate is not None
        usd = [found.rate.base, *(step for above, step in found.rate.steps if prompt > above)][-1]
        total += usd * count[name] / 10**6
        notes.add(found.note)
    assert priced.usd(0) == round(total, 12)
    assert answer.provider == priced.provider[0]
    assert {note for note in notes if note} == set(filter(None, priced.reason[0].split("; ")))


def test_where_a_price_is_from() -> None:
    listed = of(ask("claude-sonnet-4-5"), "output")
    assert (listed.listed, listed.listed_since, listed.override) == (SOURCE, None, None)
    # In the list, batch has a price of its own from this day on.
    assert of(ask("claude-sonnet-4-5", tier="batch"), "output").listed_since == date(2026, 10, 14)
    assert ask("claude-sonnet-4-5").listed_as == ("anthropic", "claude-sonnet-4-5")
    ours = of(ask("claude-sonnet-4-5", tenant="org_42"), "reasoning")
    assert (ours.charged_as, ours.override, ours.listed) == ("output", CONTRACT, SOURCE)
    own = of(ask("claude-sonnet-4-5"), "cache_write_1h")
    assert (own.override, own.listed) == (HOUR, "")
    assert own.rate is not None
    assert own.rate.base == Decimal("7.123456789012")


def test_without_a_price_the_reason_is_that_of_such_calls() -> None:
    assert (
        ask("no-such-model", "anthropic").reason == "no price for model no-such-model of provider anthropic"
    )
    assert ask("llama-3", "nobody").reason == "no price list of provider nobody"
    # A unit has a price, tokens have none.
    answer = ask("llama-3", "vllm")
    assert answer.reason == ""
    assert of(answer, "gpu_hour").override == GPU
    assert of(answer, "input").reason == "no price list of provider vllm"
