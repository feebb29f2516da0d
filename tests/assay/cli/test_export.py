"""``assay export`` on the real store."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from assay.cli.main import app
from assay.pricing.listing import Listing
from assay.settings import Settings, load_settings
from assay.warehouse.client import connect
from tests.support.charges import charged
from tests.support.days import insert

CALLS = [charged(n) for n in range(200)]
SPENT = sum((c["cost_usd"] for c in CALLS), Decimal(0))


@pytest.fixture
def october(built: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    insert(built, "llm_traces", CALLS)
    insert(built, "tenants", [{"tenant_id": "org_1", "name": "One, Inc.", "cost_centre": "CC-1"}])
    monkeypatch.setenv("ASSAY_CLICKHOUSE_URL", built.clickhouse)
    monkeypatch.setenv("ASSAY_CLICKHOUSE_DATABASE", built.clickhouse_database)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def export(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["export", *arguments])


def test_csv_on_standard_output(october: None) -> None:
    done = export("chargeback", "--month", "2025-10")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(r["tenant_id"], r["tenant_name"], r["cost_centre"]) for r in rows] == [
        ("org_0", "org_0", ""),
        ("org_1", "One, Inc.", "CC-1"),
        ("org_2", "org_2", ""),
    ]
    assert sum(Decimal(r["total_usd"]) for r in rows) == SPENT


def test_parquet_in_a_file_keeps_every_digit(october: None, tmp_path: Path) -> None:
    file = tmp_path / "october.parquet"
    file.write_text("an old one")
    done = export("chargeback", "--month", "2025-10", "--format", "parquet", "--file", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    table = pq.read_table(file)
    assert sum(table["total_usd"].to_pylist()) == SPENT
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_focus_adds_up_to_the_spend_class_by_class(october: None) -> None:
    done = export("focus", "--month", "2025-10")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert sum(Decimal(r["BilledCost"]) for r in rows) == SPENT
    assert {r["SkuMeter"] for r in rows} == {
        "Input Tokens",
        "Cached Input Tokens",
        "Cache Write Tokens",
        "Cache Write Tokens (1 hour)",
        "Output Tokens",
    }
    # What is not known is empty, and moments are as the specification writes them.
    assert {r["RegionId"] for r in rows} == {""}
    assert {r["BillingPeriodEnd"] for r in rows} == {"2025-11-01T00:00:00Z"}
    for row in rows:
        quantity, price = Decimal(row["PricingQuantity"]), Decimal(row["ContractedUnitPrice"])
        assert quantity * price == Decimal(row["ContractedCost"]) == Decimal(row["BilledCost"])


def test_focus_tells_what_was_agreed_on_from_the_list(built: Settings, october: None) -> None:
    """A tenant that pays three quarters of the list, beside others that pay the list."""
    agreed = [
        charged(n, tenant_id="negotiator", trace_id=f"agreed-{n}") for n in range(300, 400) if n % 4 != 0
    ]
    insert(built, "llm_traces", [call | {"cost_usd": call["cost_usd"] * 3 / 4} for call in agreed])
    unlisted = export("focus", "--month", "2025-10")
    assert {row["ListCost"] for row in csv.DictReader(io.StringIO(unlisted.stdout))} == {""}
    with connect(built) as client:
        Listing().note(client)
    rows = list(csv.DictReader(io.StringIO(export("focus", "--month", "2025-10").stdout)))
    assert {row["ListUnitPrice"] == "" for row in rows} == {False}
    for row in rows:
        # Of October 2025 the list has no price of batches: then, as for calls, the standard one counts.
        share = Decimal("0.5") if row["SkuId"].endswith("/batch") else Decimal(1)
        share = Decimal("0.75") if row["SubAccountId"] == "negotiator" else share
        listed, agreed_on = Decimal(row["ListCost"]), Decimal(row["ContractedCost"])
        assert listed * share == agreed_on == Decimal(row["BilledCost"])
        assert Decimal(row["ListUnitPrice"]) * Decimal(row["PricingQuantity"]) == listed


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_month_without_rows_says_which_months_have_some(
    october: None, tmp_path: Path, file_format: str
) -> None:
    file = tmp_path / "january"
    file.write_text("an old one")
    done = export("chargeback", "--month", "2031-01", "--format", file_format, "--file", str(file))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.strip() == (
        "chargeback_monthly has no rows for 2031-01, so nothing was written; it has some for 2025-10"
    )
    assert file.read_text() == "an old one"
    done = export("credits", "--month", "2025-10")
    assert done.exit_code == 1
    assert done.stderr.strip().endswith("it has none for any month")


def test_months_that_follow_on_one_another_are_named_together(built: Settings, october: None) -> None:
    later = [datetime(*month, 15, tzinfo=UTC) for month in ((2025, 11), (2025, 12), (2026, 1), (2026, 3))]
    insert(built, "llm_traces", [charged(n, timestamp=moment) for n, moment in enumerate(later)])
    assert "some for 2025-10 to 2026-01, 2026-03\n" in export("focus", "--month", "2026-02").stderr


@pytest.mark.parametrize("month", ["2025-13", "2025-1", "october", "2025-10-01"])
def test_a_month_that_is_none_is_named(month: str) -> None:
    done = export("chargeback", "--month", month)
    assert done.exit_code == 2
    assert "--month" in done.output


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(october: None, tmp_path: Path) -> None:
    done = export("chargeback", "--month", "2025-10", "--file", str(tmp_path / "none" / "x.csv"))
    assert done.exit_code == 1
    assert "none" in done.output
    assert list(tmp_path.iterdir()) == []
