"""The staging model over the exporter's table reads it as the bridge does."""

from __future__ import annotations

import json
from pathlib import Path

from assay.collector.otel_traces.names import PATH, macro
from assay.warehouse.dbt import run_dbt
from tests.assay.collector.otel_traces.conftest import Source
from tests.support import otel_exporter
from tests.support.otel_traffic import traffic

# What the table has of a call beside what was made of it.
OWN = ("span_name", "service_name")


def test_names_are_those_of_the_mapping() -> None:
    assert PATH.read_text() == macro(), "names changed: `make schemas` writes them into the dbt project"


def test_the_model_has_the_same_calls_with_the_same_fields(source: Source, tmp_path: Path) -> None:
    names = {"otel_database": source.settings.clickhouse_database, "otel_tenant": "org_5"}
    printed = run_dbt(
        source.settings,
        *("build", "--select", "stg_otel_traces", "--vars", json.dumps(names)),
        target=tmp_path,
    )
    # The model, its unit test and its data tests.
    assert "PASS=6 WARN=0 ERROR=0" in printed
    otel_exporter.export(source.store, source.table, traffic())
    source.bridge(otel_traces_tenant="org_5")
    source.drain()
    columns = [
        name
        for (name,) in source.rows(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'stg_otel_traces'"
        )
        if name not in OWN
    ]
    listed = ", ".join(columns)
    model = source.rows(
        f"SELECT {listed} FROM stg_otel_traces WHERE prompt_tokens IS NOT NULL ORDER BY span_id"
    )
    assert len(model) == 5
    columns[columns.index("called_at")] = "timestamp"
    assert model == source.rows(f"SELECT {', '.join(columns)} FROM llm_traces FINAL ORDER BY span_id")
