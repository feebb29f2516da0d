"""Invoices beside recorded calls: what diverges is named, and by the class of tokens that explains it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from assay.settings import Settings
from assay.warehouse.client import connect
from assay.warehouse.dbt import run_dbt
from tests.support.charges import LIST, OCTOBER, charged, cost
from tests.support.databases import Databases
from tests.support.days import insert

CALLS = [charged(n) for n in range(700)]
COMPUTED = sum((c["cost_usd"] for c in CALLS), Decimal(0))
INPUT = LIST["input"]


def billed(**rates: Decimal) -> Decimal:
    return sum((cost(c, **rates) for c in CALLS), Decimal(0))


def invoice(amount: Decimal, **changes: Any) -> dict[str, Any]:
    return {
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "period_start": date(2025, 10, 1),
        "period_end": date(2025, 11, 1),
        "amount_usd": amount,
    } | changes


def reconciled(settings: Settings, *invoices: dict[str, Any]) -> list[dict[str, Any]]:
    """The mart's rows for these invoices."""
    with connect(settings) as client:
        client.command("TRUNCATE TABLE provider_invoices")
    insert(settings, "provider_invoices", list(invoices))
    with connect(settings) as client:
        return list(client.query("SELECT * FROM invoice_reconciliation ORDER BY month").named_results())


@pytest.fixture(scope="module")
def october(built_databases: Databases) -> Iterator[Settings]:
    """Settings of a built database with the calls, for tests that change nothing but invoices."""
    with built_databases.lend() as settings:
        insert(settings, "llm_traces", CALLS)
        yield settings


MISTAKES = {
    "cache_read": billed(read=INPUT),
    "cache_write": billed(write_5m=INPUT, write_1h=INPUT),
    "cache_read and cache_write": billed(read=INPUT, write_5m=INPUT, write_1h=INPUT),
    "output": billed(output=Decimal(0)),
    "batch": sum((cost(c | {"pricing_tier": "standard"}) for c in CALLS), Decimal(0)),
}


def test_the_rates_are_recovered_from_the_calls(october: Settings) -> None:
    with connect(october) as client:
        rows = list(
            client.query(
                "SELECT * FROM int_token_rates WHERE tenant_id = '' AND pricing_tier = 'standard'"
            ).named_results()
        )
    (row,) = rows
    assert row["is_exact"]
    found = {
        "input": row["input_usd"],
        "read": row["cache_read_usd"],
        "write_5m": row["cache_write_5m_usd"],
        "write_1h": row["cache_write_1h_usd"],
        "output": row["output_usd"],
    }
    assert {name: usd * 10**6 for name, usd in found.items()} == LIST


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_divergent_invoice_is_explained_by_its_class(october: Settings, mistake: str) -> None:
    """The classic first: cache reads billed at the full input rate."""
    amount = MISTAKES[mistake]
    # As rounded on an invoice, and with a little that nobody recorded.
    (row,) = reconciled(october, invoice((amount * Decimal("1.003")).quantize(Decimal("0.01"))))
    assert row["computed_usd"] == COMPUTED
    assert row["is_divergent"] == (abs(amount * Decimal("1.003") - COMPUTED) > amount * Decimal("0.05"))
    if mistake in ("cache_read", "batch", "output"):
        assert row["is_divergent"]
    if row["is_divergent"]:
        assert (row["explained_by"], row["explained_usd"]) == (mistake, amount)
    else:
        assert row["explained_by"] == row["explanation"] == ""


def test_calls_from_before_there_was_one_name_for_a_provider_are_found(built: Settings) -> None:
    names = ("Anthropic", "anthropic", " anthropic.messages")
    insert(built, "llm_traces", [c | {"provider": names[n % 3]} for n, c in enumerate(CALLS)])
    (row,) = reconciled(built, invoice(MISTAKES["cache_read"]))
    assert (row["computed_usd"], row["explained_by"]) == (COMPUTED, "cache_read")


def test_what_agrees_and_what_nothing_explains(october: Settings) -> None:
    def explained(amount: Decimal, **changes: Any) -> str:
        (row,) = reconciled(october, invoice(amount, **changes))
        return str(row["explained_by"])

    assert explained(COMPUTED) == ""
    assert explained(COMPUTED * Decimal("1.04")) == ""
    assert explained(COMPUTED * 3) == "unexplained"
    assert explained(COMPUTED, model="another-model") == "no calls recorded"
    # An invoice may name the model that answered.
    assert explained(COMPUTED, model="claude-sonnet-4-5-20250929") == ""


def test_a_period_ends_before_its_last_day_and_lines_of_a_month_add_up(october: Settings) -> None:
    half = [c["cost_usd"] for c in CALLS if c["timestamp"] < OCTOBER + timedelta(days=15)]
    first = invoice(sum(half, Decimal(0)), period_end=date(2025, 10, 16))
    (row,) = reconciled(october, first)
    assert row["divergence_usd"] == 0
    second = invoice(COMPUTED - sum(half, Decimal(0)), period_start=date(2025, 10, 16))
    (row,) = reconciled(october, first, second)
    assert (row["invoiced_usd"], row["divergence_usd"]) == (COMPUTED, 0)


def test_rates_that_do_not_hold_all_month_explain_nothing(built: Settings) -> None:
    """A price that fell in the middle of the month leaves no rates: better no name than a wrong one."""
    cheaper = [
        c if c["timestamp"] < OCTOBER + timedelta(days=15) else c | {"cost_usd": c["cost_usd"] / 2}
        for c in CALLS
    ]
    insert(built, "llm_traces", cheaper)
    (row,) = reconciled(built, invoice(MISTAKES["cache_read"]))
    assert (row["is_divergent"], row["explained_by"]) == (1, "unexplained")


def test_negotiated_rates_of_a_tenant_are_its_own(built: Settings) -> None:
    rates = {"input": Decimal(2), "read": Decimal("0.2")}
    calls = [c | {"cost_usd": cost(c, **rates)} if c["tenant_id"] == "org_1" else c for c in CALLS]
    insert(built, "llm_traces", calls)
    wrong = sum(
        (
            cost(c, **(rates | {"read": Decimal(2)} if c["tenant_id"] == "org_1" else {"read": INPUT}))
            for c in CALLS
        ),
        Decimal(0),
    )
    (row,) = reconciled(built, invoice(wrong))
    assert (row["explained_by"], row["explained_usd"]) == ("cache_read", wrong)


def test_calls_without_a_price_are_named(built: Settings) -> None:
    insert(built, "llm_traces", CALLS)
    insert(
        built,
        "llm_traces",
        [charged(n, trace_id=f"new-{n}", cost_usd=None, cost_status="unpriced") for n in range(40)],
    )
    (row,) = reconciled(built, invoice(COMPUTED * Decimal("1.07")))
    assert (row["unpriced_count"], row["explained_by"]) == (40, "unpriced calls")


def test_the_check_fails_for_a_divergent_invoice(october: Settings, tmp_path: Path) -> None:
    reconciled(october, invoice(MISTAKES["cache_read"]))
    run_dbt(october, "test", "--select", "invoice_reconciliation,test_type:data", target=tmp_path)
    results = json.loads((tmp_path / "target" / "run_results.json").read_text())["results"]
    (check,) = [r for r in results if ".invoices_agree" in r["unique_id"]]
    assert (check["status"], check["failures"]) == ("warn", 1)
