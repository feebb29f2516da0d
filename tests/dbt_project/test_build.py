"""``dbt build`` on empty and filled stores; what it keeps, what it refuses, what an analyst can do."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from assay.settings import Settings
from assay.warehouse import retention
from assay.warehouse.client import connect
from assay.warehouse.dbt import DbtError, run_dbt
from tests.support.days import NOON, call, insert, score

ROLLUPS = (
    *("llm_kpi_1min", "llm_kpi_1h", "llm_kpi_1d", "llm_kpi_cubes"),
    *("llm_quality_1min", "llm_quality_1h", "llm_quality_1d"),
    "llm_spend_15min",
)


def outcome(target: Path) -> dict[str, str]:
    """Status of every node of the last run, by its short name."""
    results = json.loads((target / "target" / "run_results.json").read_text())["results"]
    return {r["unique_id"].split(".")[2]: r["status"] for r in results}


def described(target: Path) -> dict[str, set[str]]:
    """Columns of every model that have a description."""
    nodes = json.loads((target / "target" / "manifest.json").read_text())["nodes"].values()
    return {
        n["name"]: {c["name"] for c in n["columns"].values() if c["description"]}
        for n in nodes
        if n["resource_type"] == "model"
    }


def held(settings: Settings) -> dict[str, tuple[int, int]]:
    """Calls or scores that each rollup holds, and a digest of everything in it but sums of floating point."""
    with connect(settings) as client:
        return {
            name: client.query(
                f"SELECT sum({'evaluation_count' if 'quality' in name else 'request_count'}), "
                "groupBitXor(cityHash64(COLUMNS('^[a-rt-v]|^score_histogram'))) "
                f"FROM (SELECT * FROM {name} FINAL)"
            ).result_rows[0]
            for name in ROLLUPS
        }


def counted(settings: Settings) -> dict[str, int]:
    """Calls and scores that each rollup holds."""
    return {name: count for name, (count, _) in held(settings).items()}


def test_build_is_green_without_rows_and_every_column_is_described(
    migrated: Settings, tmp_path: Path
) -> None:
    run_dbt(migrated, "build", target=tmp_path)
    found = outcome(tmp_path)
    assert set(found.values()) <= {"success", "pass", "no-op"}
    assert {name for name in found if name.startswith("llm_")} == set(ROLLUPS)
    with connect(migrated) as client:
        for mart in ("kpi_daily", "spend_daily", "quality_daily", "cache_efficiency", "outcomes_daily"):
            assert client.query(f"SELECT count() FROM {mart}").result_rows == [(0,)]
        actual: dict[str, set[str]] = {}
        for table, column in client.query(
            "SELECT table, name FROM system.columns WHERE database = currentDatabase()"
        ).result_rows:
            actual.setdefault(table, set()).add(column)
    assert {name: actual[name] for name in described(tmp_path)} == described(tmp_path)


def test_full_refresh_keeps_rollups_that_outlived_their_raw_rows(filled: Settings, tmp_path: Path) -> None:
    """Raw rows of three years ago and their minutes expire; what is kept is kept to the last digit."""
    old = NOON - timedelta(days=3 * 365)
    start = {"retention_start": old.date()}
    calls = [call(n, timestamp=old + timedelta(minutes=n), trace_id=f"old-{n}", **start) for n in range(200)]
    insert(filled, "llm_traces", calls)
    when = {"span_timestamp": old, "timestamp": old, **start}
    insert(filled, "llm_evaluations", [score(n) | when | {"trace_id": f"old-{n}"} for n in range(0, 200, 4)])
    price = {"provider": "openai", "model": "m", "token_class": "input", "price_usd": 1, "source": "mail"}
    insert(filled, "price_overrides", [price | {"valid_from": NOON}])
    with connect(filled) as client:
        retention.apply(client, retention.load(None))
        for table in ("llm_traces", "llm_evaluations", *ROLLUPS):
            client.command(f"OPTIMIZE TABLE {table} FINAL")
        left = client.query("SELECT countIf(timestamp < now() - INTERVAL 1 YEAR) FROM llm_traces").result_rows
    assert left == [(0,)]
    before = held(filled)
    billed = sum(call(n)["billed"] for n in range(1000))
    assert before["llm_kpi_1min"][0] == billed
    assert before["llm_kpi_1d"][0] == billed + sum(c["billed"] for c in calls)
    assert before["llm_spend_15min"][0] == before["llm_kpi_1d"][0]
    run_dbt(filled, "build", "--full-refresh", "--exclude-resource-type", "unit_test", target=tmp_path)
    assert set(outcome(tmp_path).values()) <= {"success", "pass", "no-op"}
    assert held(filled) == before
    with connect(filled) as client:
        added_price = "(SELECT count() FROM price_table WHERE noted_in = 'run time')"
        kept = f"SELECT sum(request_count), {added_price} FROM spend_daily"
        assert client.query(kept).result_rows == [(before["llm_kpi_1d"][0], 1)]
        # The mart that is a table has the last days alone, in one row per series.
        of_days = "SELECT sum(request_count), sum(trace_count) > 0 FROM efficiency_daily"
        assert client.query(of_days).result_rows == [(before["llm_kpi_1min"][0], True)]
    insert(filled, "llm_traces", [call(n) for n in range(1000, 1010)])
    added = sum(call(n)["billed"] for n in range(1000, 1010))
    assert counted(filled)["llm_kpi_1d"] == before["llm_kpi_1d"][0] + added


def test_changed_formula_holds_from_now_on_and_changed_columns_are_refused(
    filled: Settings, project: Path, tmp_path: Path
) -> None:
    macros = project / "macros" / "rollups.sql"
    shipped = macros.read_text()
    line = "sumSimpleState(toInt64(sign * (status = 'error'))) as error_count,"
    assert line in shipped
    macros.write_text(shipped.replace(line, line.replace("status = 'error'", "status != 'ok'")))
    before = counted(filled)
    run_dbt(filled, "run", "--full-refresh", project=project, target=tmp_path)
    assert counted(filled) == before
    with connect(filled) as client:
        errors = "SELECT sum(error_count) FROM llm_kpi_1d"
        old = client.query(errors).result_rows[0][0]
        insert(filled, "llm_traces", [call(2003)])  # aborted
        assert client.query(errors).result_rows[0][0] == old + 1

    renamed = line.replace("error_count", "failure_count")
    macros.write_text(shipped.replace(line, renamed).replace("'error_count'", "'failure_count'"))
    with pytest.raises(DbtError, match="failure_count"):
        run_dbt(filled, "run", "--select", "llm_kpi_1d", project=project, target=tmp_path)
    assert counted(filled)["llm_kpi_1d"] == before["llm_kpi_1d"] + 1


def test_every_model_comes_with_what_describes_binds_and_tests_it(template: Settings, tmp_path: Path) -> None:
    """YAML and unit tests in the folder of the model; contracts on what is read."""
    run_dbt(template, "parse", target=tmp_path)
    manifest = json.loads((tmp_path / "target" / "manifest.json").read_text())
    models = [n for n in manifest["nodes"].values() if n["resource_type"] == "model"]
    folders = {n["name"]: Path(n["original_file_path"]).parent for n in models}
    assert {n["name"]: Path((n["patch_path"] or "").split("://")[-1]).parent for n in models} == folders
    tested = {u["model"]: Path(u["original_file_path"]).parent for u in manifest["unit_tests"].values()}
    assert tested == folders
    bound = {n["name"] for n in models if n["config"]["contract"]["enforced"]}
    assert bound == {n["name"] for n in models if n["fqn"][1] in ("rollups", "marts")}


def test_a_contract_refuses_what_readers_do_not_expect(
    template: Settings, project: Path, tmp_path: Path
) -> None:
    """Of a rollup that is there already, too: dbt-clickhouse itself looks only when it creates one."""
    model = project / "models" / "rollups" / "llm_spend_15min.sql"
    line = "sumSimpleState(sign * cache_reads) as"
    sql = model.read_text()
    assert line in sql
    model.write_text(sql.replace(line, "sumSimpleState(toFloat64(sign * cache_reads)) as"))
    with pytest.raises(
        DbtError, match=r"(?s)contract.*cache_read_tokens .*Float64.*Int64.*data type mismatch"
    ):
        run_dbt(template, "run", "--select", "llm_spend_15min", project=project, target=tmp_path)


BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "identity_is_unique": ("llm_traces", call(1, model="another-model")),
    "accepted_values_stg_llm_traces_status__ok__error__aborted": ("llm_traces", call(5000, status="broken")),
    "not_empty_stg_llm_traces_tenant_id": ("llm_traces", call(5001, tenant_id="")),
}


def test_tests_of_the_project_fail_where_the_store_is_wrong(filled: Settings, tmp_path: Path) -> None:
    for table, row in BROKEN.values():
        insert(filled, table, [row])
    with connect(filled) as client:
        hour = f"{NOON + timedelta(hours=2):%Y-%m-%d %H}:00:00"
        series = "'org_0', 'model-0', 'template-0', 'production'"
        names = "period_start, tenant_id, model, prompt_template_version, cohort"
        # One token and one score too many, in the raw rows of no hour and in no minute.
        client.command(f"INSERT INTO llm_kpi_1h ({names}, prompt_tokens) VALUES ('{hour}', {series}, 1)")
        client.command(
            f"INSERT INTO llm_quality_1h ({names}, evaluation_count) VALUES ('{hour}', {series}, 1)"
        )
        # An hour in which every call took days.
        client.command(
            f"INSERT INTO llm_kpi_1h ({names}, latency_histogram) "
            f"VALUES ('{hour}', {series}, map(1000, 100000))"
        )
    with pytest.raises(DbtError):
        run_dbt(filled, "test", "--select", "test_type:data", target=tmp_path)
    failed = {name for name, status in outcome(tmp_path).items() if status not in ("pass", "no-op")}
    assert failed == {
        *BROKEN,
        "kpi_rollup_equals_raw",
        "quality_rollup_equals_raw",
        "hour_equals_minutes",
        "day_equals_hours",
        "quality_hour_equals_minutes",
        "quality_day_equals_hours",
        "percentiles_within_tolerance",
    }
