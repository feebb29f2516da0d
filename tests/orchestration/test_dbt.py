"""dbt run for real by Dagster."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import dagster as dg

from assay.settings import Settings
from assay.warehouse.client import connect
from orchestration.manifest import target_dir
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
