"""The job that compacts, and its command, under the real lock."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.settings import Settings, load_settings
from assay.warehouse.client import connect
from tests.support.days import call, insert
from tests.support.stores import Valkey

OLD = (datetime.now(UTC) - timedelta(days=100)).replace(day=10, hour=6, minute=0, second=0, microsecond=0)


def test_job_then_command(
    settings: Settings, valkey: Valkey, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken back leaves rows of zero: the job drops them, the command finds nothing more."""
    monkeypatch.setenv("ASSAY_REDIS_URL", valkey.url.replace("/0", "/9"))
    load_settings.cache_clear()
    rows = [call(n, timestamp=OLD + timedelta(hours=n), billed=True) for n in range(40)]
    insert(settings, "llm_traces", rows)
    insert(settings, "llm_traces", [row | {"sign": -1} for row in rows if row["tenant_id"] == "org_1"])
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("compaction_job").execute_in_process(instance=instance)
    assert result.success
    with connect(settings) as client:
        days = dict(
            client.query(
                "SELECT tenant_id, sum(request_count) FROM llm_kpi_1d GROUP BY tenant_id"
            ).result_rows
        )
        parts = client.query(
            "SELECT count() FROM system.parts WHERE database = currentDatabase() AND active AND rows > 0 "
            "AND table = 'llm_kpi_1h' AND partition_id = {month:String}",
            parameters={"month": f"{OLD:%Y%m}"},
        ).first_row[0]
    assert days == {"org_0": 14, "org_2": 13}
    assert parts == 1
    again = CliRunner().invoke(app, ["retention", "compact", "--json"])
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout) == {"months": []}
