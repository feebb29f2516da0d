"""`assay prices` and `assay reprice` as a shell sees them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

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


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("prices", "add", "--source", "x", "--price", "3"), "token_class"),
        (("prices", "add", "--source", "x", "--price", "cheap", "--class", "input"), "--price"),
        (("prices", "add", "--source", "x", "--factor", "2", "--class", "image"), "unit image"),
        (("prices", "add", "--source", "x", "--factor", "2", "--from", "soon"), "--from"),
        (("reprice", "--from", "2026-01-02", "--to", "2026-01-01"), "--to has to be after --from"),
    ],
)
def test_what_is_wrong_is_named(settings: Settings, arguments: tuple[str, ...], named: str) -> None:
    done = run(*arguments)
    assert done.exit_code != 0
    assert named in done.output
    with connect(settings) as client:
        assert client.query("SELECT count() FROM price_overrides").result_rows == [(0,)]
