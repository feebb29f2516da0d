"""`assay prices` and `assay reprice` as a shell sees them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from typer.testing import CliRunner, Result

from assay.cli.main import app
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.rows import insert, span
from tests.support.stores import Valkey

LAST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
PERIOD = ("--from", f"{LAST - timedelta(days=2):%Y-%m-%d}", "--to", f"{LAST:%Y-%m-%d}")


@pytest.fixture
def settings(built: Settings, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The commands find the test's store and queue in the environment."""
    monkeypatch.setenv("ASSAY_CLICKHOUSE_URL", built.clickhouse)
    monkeypatch.setenv("ASSAY_CLICKHOUSE_DATABASE", built.clickhouse_database)
    monkeypatch.setenv("ASSAY_REDIS_URL", valkey.url.rsplit("/", 1)[0] + "/8")
    return built


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_a_price_from_contract_to_rollup(settings: Settings) -> None:
    with connect(settings) as client:
        call = {"provider": "anthropic", "pricing_tier": "standard", "price_source": "genai-prices 0.2.3"}
        insert(client, "llm_traces", *(span(LAST - timedelta(hours=h), **call) for h in range(1, 6)))
        factor = ("--factor", "0.5", "--from", "2026-01-01", "--source", "x")
        added = run("prices", "add", "--tenant", "org_*", *factor, "--json")
        assert added.exit_code == 0, added.output
        row = json.loads(added.stdout)
        listed = json.loads(run("prices", "list", "--tenant", "org_1", "--json").stdout)
        assert [price["id"] for price in listed["prices"]] == [row["id"]]
        assert json.loads(run("prices", "list", "--tenant", "other", "--json").stdout)["prices"] == []
        # 1,000 input at 3 and 200 output at 15 a million, five times.
        before = json.loads(run("prices", "diff", *PERIOD, "--json").stdout)
        assert (before["changed"], float(before["before_usd"]), float(before["after_usd"])) == (
            5,
            0.03,
            0.015,
        )
        assert client.query("SELECT sum(cost_usd) FROM llm_kpi_1d").result_rows[0][0] * 1000 == 30
        done = run("reprice", *PERIOD)
        assert done.exit_code == 0, done.output
        assert "5 of 5 calls changed" in " ".join(done.stdout.split())
        assert client.query("SELECT sum(cost_usd) FROM llm_kpi_1d").result_rows[0][0] * 1000 == 15
        again = json.loads(run("reprice", *PERIOD, "--dry-run", "--json").stdout)
        assert (again["changed"], again["dry_run"]) == (0, True)


def test_which_price_applies_is_shown(settings: Settings) -> None:
    contract = ("--tenant", "org_42", "--factor", "0.85", "--from", "2026-07-01", "--source", "contract 7")
    row = json.loads(run("prices", "add", *contract, "--json").stdout)
    call = ("prices", "show", "claude-sonnet-4-5", "--tenant", "org_42")
    shown = run(*call)
    assert shown.exit_code == 0, shown.output
    assert "claude-sonnet-4-5 of anthropic (told from the model), tier standard" in shown.stdout
    assert "2.55" in shown.stdout
    assert f"override {row['id']}: list × 0.85, contract 7, from 2026-07-01 00:00 UTC" in shown.stdout
    found = json.loads(run(*call, "--json").stdout)
    prices = {price["of"]: price for price in found["prices"]}
    assert (prices["input"]["price_usd"], prices["input"]["override"]["source"]) == ("2.55", "contract 7")
    assert prices["input"]["steps"] == [{"above_prompt_tokens": 200_000, "price_usd": "5.1"}]
    assert (prices["reasoning"]["charged_as"], found["currency"]) == ("output", "USD")
    # Before it was signed the list's price held.
    before = json.loads(run(*call, "--at", "2026-06-30", "--json").stdout)
    assert {price["of"]: price["price_usd"] for price in before["prices"]}["input"] == "3"
    # Nothing applies: the reason, and the command that changes it.
    unknown = " ".join(run("prices", "show", "llama-3", "--provider", "vllm").stdout.split())
    assert "No price: no price list of provider vllm" in unknown
    assert "assay prices add --provider vllm --model llama-3 --class input --price USD" in unknown


def test_tables_fit_eighty_columns(settings: Settings) -> None:
    """No line is longer, and what is looked for stands in one piece."""
    model, provider, tenant = "claude-sonnet-4-5-20250929", "azure.ai.inference", "org_of_somebody_42"
    names = ("--tenant", tenant, "--model", model, "--provider", provider, "--tier", "provisioned")
    dates = ("--from", "2026-07-01T12:30:00Z", "--to", "2027-07-01", "--source", "contract of July 2026")
    added = run("prices", "add", *names, "--class", "cache_write_1h", "--price", "12.123456789012", *dates)
    with connect(settings) as client:
        call = {"provider": "anthropic", "model": model, "pricing_tier": "standard"}
        insert(client, "llm_traces", span(LAST - timedelta(hours=1), **call, cost_usd=Decimal("1234567.89")))
    for command, pieces in {
        ("prices", "list", "--all"): (added.stdout[:8], model, tenant, "2026-07-01 12:30", "to 2027-07-01"),
        ("prices", "show", model, "--provider", provider): (model, "cache_write_1h", "1M tokens"),
        ("prices", "diff", *PERIOD): (model, "1234567.890000000000", "genai-prices"),
    }.items():
        done = run(*command)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert max(map(len, lines)) <= 80, command
        for piece in pieces:
            assert any(piece in line for line in lines), (piece, done.stdout)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("prices", "add", "--source", "x", "--price", "3"), "token_class"),
        (("prices", "add", "--source", "x", "--price", "cheap", "--class", "input"), "--price"),
        (("prices", "add", "--source", "x", "--factor", "2", "--class", "image"), "unit image"),
        (("prices", "add", "--source", "x", "--factor", "2", "--from", "soon"), "--from"),
        (("prices", "show", "gpt-4o", "--tier", "night"), "--tier"),
        (("prices", "show", "gpt-4o", "--at", "soon"), "--at"),
        (("reprice", "--from", "2026-01-02", "--to", "2026-01-01"), "--to has to be after --from"),
    ],
)
def test_what_is_wrong_is_named(settings: Settings, arguments: tuple[str, ...], named: str) -> None:
    done = run(*arguments)
    assert done.exit_code != 0
    assert named in done.output
    with connect(settings) as client:
        assert client.query("SELECT count() FROM price_overrides").result_rows == [(0,)]
