"""Prices beside the list: which row decides, what it may say, and how it is laid over the list."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.pricing import store
from assay.pricing.calls import price
from assay.pricing.columns import Calls, Labels
from assay.pricing.overrides import Override, OverrideError, in_force, matches, specificity
from assay.pricing.table import PriceTable

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def row(**fields: Any) -> Override:
    given: dict[str, Any] = {"source": "contract", "valid_from": START, "token_class": "input"}
    if "discount_factor" not in fields:
        given["price_usd"] = Decimal(1)
    return Override(**{**given, **fields})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"pricing_tier": "night"}, "pricing_tier"),
        ({"price_usd": None}, "price_usd and discount_factor"),
        ({"discount_factor": Decimal("0.5"), "price_usd": Decimal(1)}, "price_usd and discount_factor"),
        ({"token_class": ""}, "token_class is needed"),
        ({"token_class": "two words"}, "token_class"),
        ({"token_class": "image", "discount_factor": Decimal("0.5")}, "unit image"),
        ({"price_usd": Decimal("-1")}, "price_usd = -1"),
        ({"price_usd": Decimal("NaN")}, "price_usd = NaN"),
        ({"price_usd": Decimal("1e8")}, "price_usd"),
        ({"price_usd": Decimal("1e-13")}, "12 decimal places"),
        ({"valid_from": datetime(2026, 1, 1)}, "valid_from"),  # noqa: DTZ001
        ({"valid_to": START - timedelta(days=1)}, "valid_to"),
        ({"source": " "}, "source"),
    ],
)
def test_what_cannot_be_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(OverrideError, match=named):
        row(**fields)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("", "anything", True),
        ("*", "", True),
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o*", "gpt-4o-mini", True),
        ("*sonnet*", "claude-sonnet-4-5", True),
        ("claude-?", "claude-4", True),
        ("claude-?", "claude-45", False),
        ("a.b", "axb", False),
        ("[ab]", "a", False),
    ],
)
def test_patterns(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def test_exact_before_longer_before_shorter_before_any() -> None:
    ordered = ["claude-sonnet-4-5", "claude-sonnet-*", "claude-*", "*", ""]
    found = sorted(ordered, key=specificity, reverse=True)
    assert found[:3] == ordered[:3]
    assert specificity("*") == specificity("")


# Everything that may distinguish two rows, the most important first, each from the least to the most
# specific.
DIMENSIONS: dict[str, list[Any]] = {
    "tenant_id": ["", "org_*", "org_1"],
    "model": ["", "gpt-*", "gpt-4o"],
    "provider": ["", "open*", "openai"],
    "pricing_tier": ["", "standard"],
    "valid_from": [START, START + timedelta(days=1)],
    "noted_at": [START, START + timedelta(days=2)],
}
POSITIONS = st.tuples(*(st.integers(0, len(values) - 1) for values in DIMENSIONS.values()))


def at(position: tuple[int, ...], usd: int) -> Override:
    chosen = {name: DIMENSIONS[name][i] for name, i in zip(DIMENSIONS, position, strict=True)}
    return row(price_usd=Decimal(usd), **chosen)


def test_a_provider_of_ones_own_is_found_however_it_is_written() -> None:
    """It is stored in lower case: what is charged at ingest is charged again by a repricing."""
    table = PriceTable([row(provider="MyCorp", model="large")])
    for provider in ("MyCorp", "mycorp"):
        assert price(one_call(provider=provider, model="large", prompt=1_000_000), table).usd(0) == 1


def one_call(**fields: Any) -> Calls:
    ints = {name: np.array([fields.get(name, 0)], np.int64) for name in ("prompt", "completion", "cached")}
    return Calls(
        provider=Labels.of([fields.get("provider", "openai")]),
        model=Labels.of([fields.get("model", "gpt-4o")]),
        response_model=Labels.of([fields.get("response_model", "")]),
        pricing_tier=Labels.of([fields.get("tier", "standard")]),
        timestamp_us=np.array(
            [round(fields.get("at", START + timedelta(days=9)).timestamp() * 1e6)], np.int64
        ),
        cache_write=np.zeros(1, np.int64),
        reasoning=np.zeros(1, np.int64),
        tenant=Labels.of([fields.get("tenant", "org_1")]),
        **ints,
    )


@settings(deadline=None, max_examples=200)
@given(st.lists(POSITIONS, min_size=1, max_size=8, unique=True), st.randoms(use_true_random=False))
def test_the_most_specific_row_decides(positions: list[tuple[int, ...]], random: Any) -> None:
    """Compared dimension by dimension in their order, whatever the order in which rows come."""
    rows = [at(position, usd) for usd, position in enumerate(positions, start=1)]
    shuffled = list(rows)
    random.shuffle(shuffled)
    best = max(range(len(positions)), key=lambda i: positions[i])
    priced = price(one_call(prompt=1_000_000), PriceTable(shuffled))
    assert priced.usd(0) == best + 1
    assert priced.source[0] == f"override {rows[best].id}"


@settings(deadline=None, max_examples=100)
@given(st.lists(POSITIONS, min_size=1, max_size=8), st.integers(-2, 12))
def test_only_rows_that_hold_decide(positions: list[tuple[int, ...]], day: int) -> None:
    """Between the first moment and the last; of rows with the same key the one noted last."""
    moment = START + timedelta(days=day)
    rows = [
        replace(at(position, usd), valid_to=START + timedelta(days=usd))
        for usd, position in enumerate(positions, start=1)
    ]
    holding = [r for r in in_force(rows) if r.valid_from <= moment and moment < r.valid_to]  # type: ignore[operator]
    priced = price(one_call(prompt=1_000_000, at=moment), PriceTable(rows))
    if holding:
        assert priced.usd(0) == max(holding, key=lambda r: r.precedence).price_usd
    else:
        assert priced.usd(0) == Decimal("2.5"), "the list price"


def test_a_later_note_of_the_same_key_replaces_the_earlier_one() -> None:
    first = row(price_usd=Decimal(1), noted_at=START)
    second = row(price_usd=Decimal(2), noted_at=START + timedelta(days=1))
    withdrawn = replace(second, valid_to=START, noted_at=START + timedelta(days=2))
    assert price(one_call(prompt=1_000_000), PriceTable([second, first])).usd(0) == 2
    assert price(one_call(prompt=1_000_000), PriceTable([first, second, withdrawn])).usd(0) == Decimal("2.5")


def test_by_the_model_that_answered() -> None:
    """A fallback is not charged at the negotiated price of the model that was asked for."""
    table = PriceTable([row(model="gpt-4o", price_usd=Decimal(1))])
    assert price(one_call(prompt=1_000_000, response_model="gpt-4o-mini"), table).usd(0) == Decimal("0.15")
    # The list knows a dated name as the same model.
    assert price(one_call(prompt=1_000_000, response_model="gpt-4o-2024-08-06"), table).usd(0) == 1
    # Where the list knows neither name, either will do.
    own = PriceTable([row(model="our-llama", price_usd=Decimal("0.2"))])
    call = one_call(provider="vllm", model="our-llama", response_model="snapshot-7", prompt=1_000_000)
    assert price(call, own).usd(0) == Decimal("0.2")


def test_a_class_without_a_price_follows_what_it_is_charged_as() -> None:
    """A model of one's own: cached tokens cost what input costs, unless a row says otherwise."""
    own = row(model="our-llama", price_usd=Decimal("0.2"))
    call = one_call(provider="vllm", model="our-llama", prompt=2_000_000, cached=1_000_000)
    assert price(call, PriceTable([own])).usd(0) == Decimal("0.4")
    cached = row(model="our-llama", token_class="cache_read", price_usd=Decimal("0.05"))
    assert price(call, PriceTable([own, cached])).usd(0) == Decimal("0.25")


def test_a_discount_is_of_the_list_price_and_stands_alone() -> None:
    tenant = row(tenant_id="org_1", token_class="", discount_factor=Decimal("0.8"))
    batch = row(pricing_tier="batch", token_class="", discount_factor=Decimal("0.5"))
    everything = PriceTable([tenant, batch])
    million = {"provider": "anthropic", "model": "claude-haiku-4-5", "prompt": 1_000_000, "at": NOW}
    # 1.00 at the standard tier, 0.50 in a batch.
    assert price(one_call(**million), everything).usd(0) == Decimal("0.8")
    assert price(one_call(**million, tier="batch"), everything).usd(0) == Decimal("0.4")
    # A row that names the tier says what the tier is: of the standard price.
    assert price(one_call(**million, tier="batch", tenant="x"), everything).usd(0) == Decimal("0.5")
    assert price(one_call(**million, tenant="x"), everything).usd(0) == Decimal("1.0")


def test_a_tier_that_the_list_lacks_is_priced_by_its_row() -> None:
    call = one_call(provider="mistral", model="mistral-tiny", tier="priority", prompt=1_000_000)
    assert price(call).status[0] == "partial"
    table = PriceTable([row(pricing_tier="priority", token_class="", discount_factor=Decimal("1.75"))])
    standard = price(one_call(provider="mistral", model="mistral-tiny", prompt=1_000_000)).usd(0)
    found = price(call, table)
    assert standard is not None
    assert (found.usd(0), found.status[0]) == (standard * Decimal("1.75"), "priced")


def test_context_size_steps_are_discounted_too() -> None:
    table = PriceTable([row(token_class="", discount_factor=Decimal("0.9"))])
    call = one_call(provider="google", model="gemini-2.5-pro", prompt=200_001)
    assert price(call, table).usd(0) == Decimal("2.5") * Decimal("0.9") * 200_001 / 1_000_000


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32 - 1),
    st.decimals(0, 1000, places=12, allow_nan=False),
    st.decimals(0, 2, places=12, allow_nan=False),
)
def test_exact_to_the_last_place(tokens: int, usd: Decimal, factor: Decimal) -> None:
    """However many digits a price has: the product, rounded once, half to even."""
    from decimal import ROUND_HALF_EVEN, localcontext

    with localcontext(prec=60):
        table = PriceTable([row(price_usd=usd)])
        exact = (usd * tokens / 1_000_000).quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
        assert price(one_call(prompt=tokens), table).usd(0) == exact
        table = PriceTable([row(discount_factor=factor)])
        exact = (Decimal("2.5") * factor * tokens / 1_000_000).quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
        assert price(one_call(prompt=tokens), table).usd(0) == exact


def test_more_than_can_be_stored_is_unpriced() -> None:
    priced = price(one_call(prompt=2**32 - 1), PriceTable([row(price_usd=Decimal(10**7))]))
    assert (priced.usd(0), priced.status[0]) == (None, "unpriced")
    assert "4.6 million" in priced.reason[0]


def test_packed_and_unpacked_it_is_the_same() -> None:
    rows = [at(position, 7) for position in product(range(2), range(2), range(2), range(2), range(2), [0])]
    table = PriceTable([*rows, row(discount_factor=Decimal("0.5"), valid_to=START + timedelta(days=1))])
    again = store.unpack(store.pack(table))
    assert (again.rows, again.version) == (table.rows, table.version)
    assert PriceTable(rows[:-1]).version != table.version
