"""dbt run for real by Dagster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from assay.settings import Settings
from assay.warehouse.client import connect
from assay.warehouse.dbt import DbtError, run_dbt
from orchestration.manifest import target_dir
from tests.support.processes import REPOSITORY
from tests.support.rows import insert, span


def test_one_mart(settings: Settings, definitions: dg.Definitions) -> None:
    """dbt builds the chosen view anew, its tests are checks, and nothing stays behind in the environment."""
    with connect(settings) as client:
        insert(client, "llm_traces", span(datetime.now(UTC)))
        client.command("DROP VIEW kpi_daily")
    before = dict(os.environ)
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("dbt_job").execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey("kpi_daily")]
        )
    assert result.success
    assert {e.asset_key.to_user_string() for e in result.asset_materializations_for_node("dbt_models")} == {
        "kpi_daily"
    }
    checks = result.get_asset_check_evaluations()
    assert checks
    assert all(check.passed for check in checks), checks
    assert dict(os.environ) == before
    with connect(settings) as client:
        assert client.query("SELECT sum(request_count) FROM kpi_daily").first_row == (1,)
    assert [p.name for p in target_dir(settings).iterdir() if p.is_dir()], (
        "artifacts are under the data directory"
    )


def test_an_analyst_adds_a_column_without_touching_python(settings: Settings, tmp_path: Path) -> None:
    """In a checkout of their own: the file of the mart, its YAML, ``dbt build``, then Dagster's command."""
    checkout = tmp_path / "checkout"
    shutil.copytree(
        REPOSITORY / "dbt_project",
        checkout / "dbt_project",
        ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"),
    )
    for package in ("assay", "evaluators", "sensors", "orchestration"):
        (checkout / package).symlink_to(REPOSITORY / package)
    project = checkout / "dbt_project"
    mart, contract = (project / "models/marts" / f"spend_daily.{kind}" for kind in ("sql", "yml"))
    last = "        by_model.sum_reported_cost_usd as reported_cost_usd\n"
    assert last in mart.read_text()
    mart.write_text(
        mart.read_text().replace(
            last, f"{last[:-1]},\n        cost_usd / by_model.requests as cost_per_call_usd\n"
        )
    )
    with pytest.raises(DbtError, match=r"(?s)contract.*cost_per_call_usd.*missing in contract"):
        run_dbt(settings, "build", "--select", "spend_daily", project=project)
    with contract.open("a") as file:
        file.write(
            "\n      - name: cost_per_call_usd"
            "\n        data_type: Nullable(Decimal(38, 12))"
            '\n        description: "Cost per call, US dollars."\n'
        )
    run_dbt(settings, "build", "--select", "spend_daily", project=project)

    def columns() -> set[str]:
        with connect(settings) as client:
            return set(client.query("SELECT * FROM spend_daily LIMIT 0").column_names)

    assert "cost_per_call_usd" in columns()
    with connect(settings) as client:
        insert(client, "llm_traces", span(datetime.now(UTC)))
        client.command("DROP VIEW spend_daily")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize"),
            *("-m", "orchestration.definitions", "--select", "spend_daily"),
        ],
        cwd=checkout,
        env={
            **os.environ,
            "PYTHONPATH": str(checkout),
            "DAGSTER_HOME": str(tmp_path),
            "ASSAY_DATA_DIR": str(tmp_path / "data"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cost_per_call_usd" in columns()
    with connect(settings) as client:
        assert client.query("SELECT cost_per_call_usd = cost_usd FROM spend_daily").result_rows == [(True,)]
