"""Credits, provisioned capacity and reporting currency: the example of the docs, and what holds for any."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.charges import charged
from tests.support.days import insert

PICO = Decimal("1e-12")
OCTOBER, NOVEMBER, DECEMBER = date(2025, 10, 1), date(2025, 11, 1), date(2025, 12, 1)


def rows(settings: Settings, sql: str) -> list[dict[str, Any]]:
    with connect(settings) as client:
        return list(client.query(sql).named_results())


def contract(contract_id: str, kind: str, amount: Decimal | int, **changes: Any) -> dict[str, Any]:
    return {
        "contract_id": contract_id,
        "kind": kind,
        "provider": "azure.ai.openai",
        "model": "",
        "tenant_id": "",
        "pricing_tier": "",
        "amount_usd": Decimal(amount),
        "per": "month" if kind == "provisioned" else "",
        "units": Decimal(1),
        "tokens_per_minute": None,
        "valid_from": OCTOBER,
        "valid_to": None,
        "source": f"order of {contract_id}",
    } | changes


def used(tenant: str, model: str, usd: Decimal | int | None, day: date, **changes: Any) -> dict[str, Any]:
    """A call that costs ``usd`` by the token."""
    return charged(
        0,
        tenant_id=tenant,
        provider="azure.ai.openai",
        model=model,
        response_model="",
        pricing_tier="standard",
        timestamp=datetime(day.year, day.month, day.day, 12, tzinfo=UTC),
        trace_id=f"{tenant}-{model}-{day}-{usd}",
        cost_usd=None if usd is None else Decimal(usd),
        cost_status="unpriced" if usd is None else "priced",
        **changes,
    )


def tokens(count: int) -> dict[str, Any]:
    return {
        "prompt_tokens": count,
        "completion_tokens": 0,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
    }


CONTRACTS = [
    contract("ptu-1", "provisioned", 310, model="gpt-4o", units=Decimal(2), tokens_per_minute=1_000),
    contract("sooner", "credit", 100, valid_to=NOVEMBER),
    contract("later", "credit", 500, valid_to=date(2026, 1, 1)),
]
CALLS = [
    used("org_1", "gpt-4o", 90, date(2025, 10, 3), **tokens(33_480_000)),
    used("org_2", "gpt-4o", 30, date(2025, 10, 9), **tokens(11_160_000)),
    used("org_1", "gpt-4o-mini", 300, date(2025, 10, 3)),
    used("org_2", "gpt-4o-mini", 100, date(2025, 10, 20)),
    used("org_1", "gpt-4o-mini", 250, date(2025, 11, 2)),
]


@pytest.fixture
def example(built: Settings) -> Settings:
    """Settings of a store with the example's contracts, rates and calls."""
    insert(built, "provider_contracts", CONTRACTS)
    insert(
        built,
        "exchange_rates",
        [
            {"currency": "EUR", "day": day, "rate": Decimal(rate), "source": "ECB"}
            for day, rate in ((date(2025, 10, 1), "0.9"), (date(2025, 10, 30), "0.92"))
        ],
    )
    insert(
        built,
        "tenants",
        [
            {"tenant_id": "org_1", "name": "One", "time_zone": "UTC", "currency": "EUR"},
            {"tenant_id": "org_2", "name": "Two", "time_zone": "UTC", "currency": "USD"},
        ],
    )
    insert(built, "llm_traces", CALLS)
    return built


def test_the_example_of_the_docs_is_charged_to_the_last_digit(example: Settings) -> None:
    found = {
        (r["month"], r["tenant_id"]): tuple(
            r[name]
            for name in ("direct_usd", "provisioned_usd", "unused_usd", "total_usd", "credit_usd", "net_usd")
        )
        for r in rows(example, f"SELECT * FROM chargeback_monthly WHERE month < '{DECEMBER}'")
    }
    half = Decimal("232.5"), Decimal("77.5")
    assert found == {
        # 300 by the token, all paid by credits; 33.48 of 44.64 million tokens of the used half of 620.
        (OCTOBER, "org_1"): (300, half[0], 0, 300 + half[0], -300, half[0]),
        (OCTOBER, "org_2"): (100, half[1], 0, 100 + half[1], -100, half[1]),
        # The other half of the capacity.
        (OCTOBER, "unused capacity"): (0, 0, 310, 310, 0, 310),
        # 200 are left of the later credit. Nobody used the capacity.
        (NOVEMBER, "org_1"): (250, 0, 0, 250, -200, 50),
        (NOVEMBER, "unused capacity"): (0, 0, 620, 620, 0, 620),
    }


def test_the_examples_contracts_month_by_month(example: Settings) -> None:
    capacity = rows(example, "SELECT * FROM provisioned_monthly ORDER BY month LIMIT 2")
    assert [(r["used_tokens"], r["capacity_tokens"], r["utilisation"]) for r in capacity] == [
        (44_640_000, 1_000 * 2 * 60 * 24 * 31, 0.5),
        (0, 1_000 * 2 * 60 * 24 * 30, 0),
    ]
    assert [(r["used_usd"], r["unused_usd"], r["list_usd"]) for r in capacity] == [
        (310, 310, 120),
        (0, 620, None),
    ]
    credit = {
        (r["contract_id"], r["month"]): (r["opening_usd"], r["used_usd"], r["left_usd"], r["expired_usd"])
        for r in rows(example, "SELECT * FROM credits_monthly")
    }
    assert credit == {
        ("sooner", OCTOBER): (100, 100, 0, 0),
        ("later", OCTOBER): (500, 300, 200, 0),
        ("later", NOVEMBER): (200, 200, 0, 0),
        ("later", DECEMBER): (0, 0, 0, 0),
    }


def test_amounts_are_converted_at_the_months_last_rate_and_never_without_one(example: Settings) -> None:
    found = {
        (r["month"], r["tenant_id"]): (
            *(r["reporting_currency"], r["exchange_rate"], r["exchange_rate_day"]),
            *(r["total_reporting"], r["credit_reporting"], r["net_reporting"]),
        )
        for r in rows(example, "SELECT * FROM chargeback_monthly")
    }
    rate = Decimal("0.92")
    assert found[OCTOBER, "org_1"] == (
        *("EUR", rate, date(2025, 10, 30)),
        *(Decimal("532.5") * rate, -300 * rate, Decimal("213.9")),
    )
    assert found[OCTOBER, "org_2"] == ("USD", 1, None, Decimal("177.5"), -100, Decimal("77.5"))
    # No rate of November is known: the amounts in euros are not either.
    assert found[NOVEMBER, "org_1"] == ("EUR", None, None, None, None, None)
    # What no tenant has is in the project's currency.
    assert found[OCTOBER, "unused capacity"][:3] == ("USD", 1, None)


def test_large_amounts_keep_every_digit_and_ties_go_to_even(built: Settings) -> None:
    amount, rate = Decimal("123456789012.123456789012"), Decimal("16000.123456789012")
    insert(built, "llm_traces", [used("org_1", "m", amount, OCTOBER), used("org_2", "m", "0.5", OCTOBER)])
    insert(
        built,
        "exchange_rates",
        [
            {"currency": "IDR", "day": OCTOBER, "rate": rate, "source": "BI"},
            {"currency": "XAU", "day": OCTOBER, "rate": Decimal("0.000001000005"), "source": "LBMA"},
        ],
    )
    insert(
        built,
        "tenants",
        [{"tenant_id": t, "name": t, "currency": c} for t, c in (("org_1", "IDR"), ("org_2", "XAU"))],
    )
    found = [r["net_reporting"] for r in rows(built, "SELECT * FROM chargeback_monthly ORDER BY tenant_id")]
    exact = Fraction(amount) * Fraction(rate)
    assert abs(Fraction(found[0]) - exact) <= Fraction(1, 2 * 10**12)
    # Half of 0.000001000005 lies in the middle of two places: to the even one.
    assert found[1] == Decimal("0.000000500002")


def test_focus_bills_the_purchase_and_spreads_it_over_the_tokens(example: Settings) -> None:
    october = rows(example, f"SELECT * FROM focus_charges WHERE toDate(BillingPeriodStart) = '{OCTOBER}'")
    # 620 for the capacity; of 400 by the token nothing is left.
    assert sum(r["BilledCost"] for r in october) == sum(r["EffectiveCost"] for r in october) == 620
    (purchase,) = [r for r in october if r["ChargeCategory"] == "Purchase"]
    assert (purchase["BilledCost"], purchase["EffectiveCost"], purchase["SubAccountId"]) == (620, 0, None)
    served = {r["SubAccountId"]: r for r in october if r["CommitmentDiscountStatus"] == "Used"}
    assert {t: (r["BilledCost"], r["EffectiveCost"], r["ContractedCost"]) for t, r in served.items()} == {
        "org_1": (0, Decimal("232.5"), 90),
        "org_2": (0, Decimal("77.5"), 30),
    }
    (unused,) = [r for r in october if r["CommitmentDiscountStatus"] == "Unused"]
    assert (unused["BilledCost"], unused["EffectiveCost"], unused["ConsumedQuantity"]) == (0, 310, None)
    # All that was bought is used or left: 2 × 1,000 tokens × 60 × 24 × 31.
    committed = (purchase, unused, served["org_1"], served["org_2"])
    quantity = [r["CommitmentDiscountQuantity"] for r in committed]
    assert quantity == [89_280_000, 44_640_000, 33_480_000, 11_160_000]
    assert {r["CommitmentDiscountId"] for r in committed} == {"ptu-1"}
    credits = {
        (r["SubAccountId"], r["x_CreditId"]): r["BilledCost"]
        for r in october
        if r["ChargeCategory"] == "Credit"
    }
    assert credits == {
        ("org_1", "sooner"): -75,
        ("org_2", "sooner"): -25,
        ("org_1", "later"): -225,
        ("org_2", "later"): -75,
    }
    for row in october:
        conforms(row)
    # A credit leaves what the usage cost as it was.
    mini = [r for r in october if r["ResourceId"] == "gpt-4o-mini" and r["ChargeCategory"] == "Usage"]
    assert sum(r["ContractedCost"] for r in mini) == sum(r["BilledCost"] for r in mini) == 400
    assert {r["x_BilledCostReporting"] for r in mini if r["SubAccountId"] == "org_1"} == {
        300 * Decimal("0.92")
    }


def test_a_capacity_counts_output_and_cache_reads_by_their_weights(built: Settings) -> None:
    """2 × 1,000 × 60 × 24 × 31 = 89,280,000 tokens for 620 USD. `a`: 10,000,000 of the prompt, of which
    4,000,000 from the cache, and 4,160,000 of output, each of which counts as four: 6,000,000 + 16,640,000 =
    22,640,000. `b`: 22,000,000 of the prompt alone. Together half of it all: 310 USD.
    """
    weighted = contract("ptu", "provisioned", 310, model="gpt-4o", units=Decimal(2), tokens_per_minute=1_000)
    weighted |= {"output_weight": Decimal(4), "cache_read_weight": Decimal(0)}
    insert(built, "provider_contracts", [weighted])
    used_by = {
        "a": tokens(10_000_000) | {"cached_tokens": 4_000_000, "completion_tokens": 4_160_000},
        "b": tokens(22_000_000),
    }
    insert(built, "llm_traces", [used(t, "gpt-4o", 1, OCTOBER) | row for t, row in used_by.items()])
    (month,) = rows(built, f"SELECT * FROM provisioned_monthly WHERE month = '{OCTOBER}'")
    assert (month["used_tokens"], month["used_usd"], month["utilisation"]) == (44_640_000, 310, 0.5)
    found = rows(built, f"SELECT * FROM chargeback_monthly WHERE month = '{OCTOBER}'")
    shares = {r["tenant_id"]: r["provisioned_usd"] for r in found}
    assert shares["a"] + shares["b"] == 310
    assert abs(shares["a"] - Decimal(22_640_000) / 89_280_000 * 620) < 2 * PICO
    focus = rows(built, f"SELECT * FROM focus_charges WHERE toDate(BillingPeriodStart) = '{OCTOBER}'")
    counted = {
        r["CommitmentDiscountStatus"]: r["CommitmentDiscountQuantity"]
        for r in focus
        if r["SubAccountId"] != "b"
    }
    assert counted == {None: 89_280_000, "Used": 22_640_000, "Unused": 44_640_000}
    # What was consumed is what the calls had.
    (of_a,) = [r for r in focus if r["SubAccountId"] == "a"]
    assert of_a["ConsumedQuantity"] == 14_160_000


def test_focus_counts_a_capacity_of_unknown_size_in_months(built: Settings) -> None:
    contracts = [contract("ptu", "provisioned", 300, model="gpt-4o", per="month")]
    insert(built, "provider_contracts", contracts)
    insert(built, "llm_traces", [used("a", "gpt-4o", 1, OCTOBER)])
    found = rows(built, "SELECT * FROM focus_charges WHERE BillingPeriodStart < '2025-12-01'")
    shares = {
        (r["BillingPeriodStart"].month, r["ChargeCategory"], r["CommitmentDiscountStatus"]): (
            r["CommitmentDiscountQuantity"],
            r["CommitmentDiscountUnit"],
        )
        for r in found
    }
    assert shares == {
        (10, "Purchase", None): (1, "Months"),
        (10, "Usage", "Used"): (1, "Months"),
        (11, "Purchase", None): (1, "Months"),
        (11, "Usage", "Unused"): (1, "Months"),
    }
    for row in found:
        conforms(row)


def conforms(row: dict[str, Any]) -> None:
    """The rules of FOCUS 1.2 on NULL and what belongs together, but for list costs that no list tells."""
    category, status = row["ChargeCategory"], row["CommitmentDiscountStatus"]
    for name in ("BilledCost", "EffectiveCost", "ContractedCost", "ChargeDescription"):
        assert row[name] is not None
    assert (row["PricingQuantity"] is None) == (row["PricingUnit"] is None) == (category == "Credit")
    assert (row["ConsumedQuantity"] is None) == (row["ConsumedUnit"] is None)
    assert (row["ConsumedQuantity"] is None) == (category != "Usage" or status == "Unused")
    assert (row["PricingCategory"] is None) == (row["SkuPriceId"] is None) == (category == "Credit")
    for price, amount in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
        if row[price] is not None:
            assert row[price] * row["PricingQuantity"] == row[amount]
    if category == "Credit":
        assert row["ListCost"] == row["ContractedCost"] == row["BilledCost"]
    committed = row["CommitmentDiscountId"] is not None
    assert (status is not None) == (committed and category == "Usage")
    assert (
        committed
        == (row["CommitmentDiscountQuantity"] is not None)
        == (row["CommitmentDiscountUnit"] is not None)
    )
    assert not committed or row["CommitmentDiscountQuantity"] > 0
    assert row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]


def test_an_invoice_is_compared_after_credits_and_with_its_capacity(example: Settings) -> None:
    def invoice(model: str, start: date, end: date, amount: int) -> dict[str, Any]:
        return {
            "provider": "azure.ai.openai",
            "model": model,
            "period_start": start,
            "period_end": end,
            "amount_usd": Decimal(amount),
        }

    def reconciled(*invoices: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        with connect(example) as client:
            client.command("TRUNCATE TABLE provider_invoices")
        insert(example, "provider_invoices", list(invoices))
        return {
            r["model"]: (r["net_usd"], r["divergence_usd"], r["explained_by"])
            for r in rows(example, "SELECT * FROM invoice_reconciliation")
        }

    november = ("gpt-4o-mini", NOVEMBER, DECEMBER)
    assert reconciled(invoice("ptu-1", OCTOBER, NOVEMBER, 620), invoice(*november, 50)) == {
        "ptu-1": (620, 0, ""),
        "gpt-4o-mini": (50, 0, ""),
    }
    # Half a month of the capacity on the line of its model; the credit was forgotten.
    found = reconciled(invoice("gpt-4o", NOVEMBER, date(2025, 11, 16), 310), invoice(*november, 250))
    assert found == {"gpt-4o": (310, 0, ""), "gpt-4o-mini": (50, 200, "credit")}
    # What the capacity served was billed by the token once more.
    found = reconciled(invoice("gpt-4o", OCTOBER, NOVEMBER, 740))
    assert found == {"gpt-4o": (620, 120, "provisioned")}


def test_a_call_of_a_capacity_that_no_contract_names_is_unknown(built: Settings) -> None:
    call = used("org_1", "gpt-4o", 5, OCTOBER) | {"pricing_tier": "provisioned"}
    insert(built, "llm_traces", [call])
    (row,) = rows(built, "SELECT * FROM chargeback_monthly")
    assert (row["request_count"], row["unpriced_count"]) == (1, 1)
    assert (row["direct_usd"], row["total_usd"], row["net_usd"]) == (None, None, None)
    assert rows(built, "SELECT * FROM focus_charges") == []


def test_the_judges_credits_go_with_its_cost(built: Settings) -> None:
    insert(built, "provider_contracts", [contract("c", "credit", 10, tenant_id="assay")])
    insert(
        built,
        "llm_traces",
        [used(t, "m", usd, OCTOBER) for t, usd in (("assay", 10), ("org_1", 30), ("org_2", 10))],
    )
    found = {
        r["tenant_id"]: (r["judge_usd"], r["total_usd"], r["credit_usd"], r["net_usd"])
        for r in rows(built, "SELECT * FROM chargeback_monthly")
    }
    assert found == {
        "assay": (-10, 0, 0, 0),
        "org_1": (Decimal("7.5"), Decimal("37.5"), Decimal("-7.5"), 30),
        "org_2": (Decimal("2.5"), Decimal("12.5"), Decimal("-2.5"), 10),
    }


days = st.dates(date(2025, 10, 1), date(2025, 12, 31))
spends = st.tuples(
    st.sampled_from(["a", "b"]), st.sampled_from(["gpt-4o", "o3"]), st.integers(1, 10**14), days
)
credits_ = st.tuples(
    st.integers(1, 2 * 10**14),
    st.sampled_from(["", "gpt*", "o?"]),
    st.sampled_from(["", "a"]),
    days,
    st.integers(0, 80),
)


@given(spent=st.lists(spends, min_size=1, max_size=8), granted=st.lists(credits_, min_size=1, max_size=4))
@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_credits_pay_as_a_bookkeeper_would(built: Settings, spent: list[Any], granted: list[Any]) -> None:
    with connect(built) as client:
        for table in ("llm_traces", "llm_spend_15min", "provider_contracts"):
            client.command(f"TRUNCATE TABLE {table}")
    calls = [
        used(tenant, model, pico * PICO, day) | {"trace_id": str(n)}
        for n, (tenant, model, pico, day) in enumerate(spent)
    ]
    contracts = [
        contract(
            f"c{n}",
            "credit",
            pico * PICO,
            model=model,
            tenant_id=tenant,
            valid_from=start,
            valid_to=date.fromordinal(start.toordinal() + length),
        )
        for n, (pico, model, tenant, start, length) in enumerate(granted)
    ]
    insert(built, "llm_traces", calls)
    insert(built, "provider_contracts", contracts)
    found: dict[tuple[str, date], int] = defaultdict(int)
    by_row: dict[tuple[str, str, date], int] = defaultdict(int)
    for row in rows(built, "SELECT * FROM int_credit_uses"):
        pico = int(row["used_usd"] / PICO)
        found[row["contract_id"], row["month"]] += pico
        by_row[row["tenant_id"], row["model"], row["day"]] += pico
    wanted, paid = bookkeeping(calls, contracts)
    # Shares are whole pico-dollars: a credit leaves another a few more or less than the exact share.
    slack = len(calls) * len(contracts)
    for key in found.keys() | wanted.keys():
        assert abs(found[key] - wanted[key]) <= slack
    spend: dict[tuple[str, str, date], int] = defaultdict(int)
    for call in calls:
        spend[call["tenant_id"], call["model"], call["timestamp"].date()] += int(call["cost_usd"] / PICO)
    for key, pico in by_row.items():
        assert pico <= spend[key]
        assert abs(pico - paid[key]) <= slack
    for each in contracts:
        assert (
            sum(p for (name, _), p in found.items() if name == each["contract_id"])
            <= each["amount_usd"] / PICO
        )
    (totals,) = rows(
        built,
        "SELECT sum(total_usd) AS gross, sum(credit_usd) AS credit, sum(net_usd) AS net "
        "FROM chargeback_monthly",
    )
    assert totals["gross"] == sum(c["cost_usd"] for c in calls)
    assert totals["credit"] == -sum(found.values()) * PICO
    assert totals["net"] == totals["gross"] + totals["credit"]


def bookkeeping(
    calls: list[dict[str, Any]], contracts: list[dict[str, Any]]
) -> tuple[dict[tuple[str, date], Fraction], dict[tuple[str, str, date], Fraction]]:
    """What each credit pays a month, and what is paid of each tenant, model and day: in exact fractions."""
    open_ = [Fraction(c["cost_usd"] / PICO) for c in calls]
    used_: dict[tuple[str, date], Fraction] = defaultdict(Fraction)
    paid: dict[tuple[str, str, date], Fraction] = defaultdict(Fraction)
    left = {c["contract_id"]: Fraction(c["amount_usd"] / PICO) for c in contracts}
    for month in (OCTOBER, NOVEMBER, DECEMBER):
        for c in sorted(contracts, key=lambda c: (c["valid_to"], c["valid_from"], c["contract_id"])):
            mine = [
                n
                for n, call in enumerate(calls)
                if call["timestamp"].date().replace(day=1) == month
                and c["valid_from"] <= call["timestamp"].date() < c["valid_to"]
                and c["tenant_id"] in ("", call["tenant_id"])
                and {"": True, "gpt*": call["model"] == "gpt-4o", "o?": call["model"] == "o3"}[c["model"]]
            ]
            eligible = sum((open_[n] for n in mine), Fraction(0))
            pays = min(left[c["contract_id"]], eligible)
            if not pays:
                continue
            left[c["contract_id"]] -= pays
            used_[c["contract_id"], month] += pays
            for n in mine:
                share = pays * open_[n] / eligible
                open_[n] -= share
                paid[calls[n]["tenant_id"], calls[n]["model"], calls[n]["timestamp"].date()] += share
    return used_, paid
