"""``assay retention`` on a store without it, then with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from assay.cli.main import app
from assay.settings import Settings, load_settings


@pytest.fixture
def environment(migrated: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("ASSAY_CLICKHOUSE_URL", migrated.clickhouse)
    monkeypatch.setenv("ASSAY_CLICKHOUSE_DATABASE", migrated.clickhouse_database)
    load_settings.cache_clear()
    yield monkeypatch
    load_settings.cache_clear()


def retention(*arguments: str) -> Result:
    load_settings.cache_clear()
    return CliRunner().invoke(app, ["retention", *arguments], env={"COLUMNS": "160"})


def test_shown_applied_and_shown(environment: pytest.MonkeyPatch) -> None:
    before = json.loads(retention("show", "--json").stdout)["tables"]
    assert {table["ttl"] for table in before} == {""}
    assert "no: assay retention apply" in retention("show").stdout
    assert retention("apply").stdout.startswith("changed: business_outcomes, ")
    assert retention("apply").stdout == "Nothing to change.\n"
    after = json.loads(retention("show", "--json").stdout)["tables"]
    assert all(table["as_configured"] for table in after)
    assert "warm from day 30, cold from day 90, gone after day 730" in retention("show").stdout


def test_a_file_that_is_not_there_is_named(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("ASSAY_RETENTION_FILE", str(tmp_path / "none.yml"))
    done = retention("apply")
    assert done.exit_code == 1
    assert "none.yml" in done.stderr
    assert "ASSAY_RETENTION_FILE" in done.stderr
