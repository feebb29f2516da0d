"""``assay prices contracts`` and ``rates``, and the exports of contracts, on the real store."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.settings import Settings, load_settings
from tests.support.charges import charged
from tests.support.days import insert


@pytest.fixture
def store(built: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("ASSAY_CLICKHOUSE_URL", built.clickhouse)
    monkeypatch.setenv("ASSAY_CLICKHOUSE_DATABASE", built.clickhouse_database)
    load_settings.cache_clear()
    yield built
    load_settings.cache_clear()


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_contracts_and_rates_of_a_month(store: Settings) -> None:
    assert "assay load contracts" in run("prices", "contracts", "--month", "2025-10")
    assert "assay load exchange-rates" in run("prices", "rates")
    common = {"provider": "anthropic", "valid_from": date(2025, 10, 1), "source": "order"}
    insert(
        store,
        "provider_contracts",
        [
            {
                "contract_id": "ptu",
                "kind": "provisioned",
                "model": "claude-opus-*",
                "amount_usd": Decimal("15.5"),
                "per": "month",
                "units": Decimal(2),
                "valid_to": None,
                **common,
            },
            {
                "contract_id": "gift",
                "kind": "credit",
                "model": "",
                "amount_usd": Decimal(10),
                "per": "",
                "units": Decimal(1),
                "valid_to": date(2025, 11, 1),
                **common,
            },
        ],
    )
    rate = {"currency": "EUR", "day": date(2025, 10, 30), "rate": Decimal("0.92"), "source": "ECB"}
    insert(store, "exchange_rates", [rate])
    at = datetime(2025, 10, 5, tzinfo=UTC)
    insert(store, "llm_traces", [charged(1, timestamp=at, cost_usd=Decimal("2.5"))])

    found = json.loads(run("prices", "contracts", "--month", "2025-10", "--json"))
    assert [
        (c["contract_id"], c["due_usd"], c["used_usd"], c["left_usd"], c["valid_to"])
        for c in found["contracts"]
    ] == [("gift", "10", "2.5", "7.5", "2025-11-01"), ("ptu", "31", "0", "31", None)]
    november = json.loads(run("prices", "contracts", "--month", "2025-11", "--json"))
    assert [(c["contract_id"], c["due_usd"]) for c in november["contracts"]] == [("ptu", "31")]
    shown = run("prices", "contracts", "--month", "2025-10")
    assert max(map(len, shown.splitlines())) <= 80
    for piece in ("gift", "due 10", "used 2.5", "left 7.5", "to 2025-11-01", "2 × 15.5 USD a month"):
        assert piece in shown
    assert json.loads(run("prices", "rates", "--currency", "eur", "--json")) == {
        "rates": [{"currency": "EUR", "month": "2025-10-01", "rate": "0.92", "day": "2025-10-30"}]
    }
    assert "0.92" in run("prices", "rates")

    (credit,) = csv.DictReader(io.StringIO(run("export", "credits", "--month", "2025-10")))
    assert (credit["contract_id"], credit["used_usd"], credit["expired_usd"]) == ("gift", "2.5", "7.5")
    (capacity,) = csv.DictReader(io.StringIO(run("export", "provisioned", "--month", "2025-10")))
    assert (capacity["contract_id"], capacity["unused_usd"]) == ("ptu", "31")


def test_a_month_that_is_none_is_named() -> None:
    done = CliRunner().invoke(app, ["prices", "contracts", "--month", "october"])
    assert done.exit_code == 2
    assert "--month" in done.output
