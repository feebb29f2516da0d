"""Everything that is defined is registered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assay.warehouse.dbt import PROJECT
from tests.support.processes import REPOSITORY

# Models of tables that only some installations have: off until a variable of the project names them.
OPTIONAL = {"stg_otel_traces"}
RAW = {"llm_traces", "llm_evaluations", "business_outcomes", "end_user_feedback", "human_labels"}


@pytest.fixture(scope="module")
def repository(definitions: dg.Definitions) -> dg.RepositoryDefinition:
    """What the UI shows."""
    return definitions.get_repository_def()


def test_assets(repository: dg.RepositoryDefinition) -> None:
    """Raw tables, every dbt model by its file's name, and what Python computes."""
    graph = repository.asset_graph
    models = _models()
    assert {k.to_user_string() for k in graph.materializable_asset_keys} == models | {
        "ewma_baselines",
        "evaluator_calibrations",
        "price_changes",
        "repriced_traces",
        "llm_embeddings",
        "task_complexity_estimates",
    }
    watched = {k.to_user_string() for k in graph.external_asset_keys}
    assert watched >= RAW | {"alerts"}
    # The rest are sources that a model reads.
    assert watched - RAW - {"alerts"} <= {s["name"] for s in _manifest_sources(repository)}


def test_checks(repository: dg.RepositoryDefinition) -> None:
    """The checks of the raw tables, and every data test of dbt."""
    checks = {(k.asset_key.to_user_string(), k.name) for k in repository.asset_graph.asset_check_keys}
    tests = {n["name"] for n in _manifest(repository)["nodes"].values() if n["resource_type"] == "test"}
    assert {check for check in checks if check[1] not in tests} == {
        ("llm_traces", "spans_stored_once"),
        ("llm_traces", "last_hour_equals_kpi_rollup"),
        ("llm_traces", "calls_are_priced"),
        ("llm_traces", "spans_are_accepted"),
        ("price_changes", "stored_costs_are_those_of_known_prices"),
        ("evaluator_calibrations", "evaluators_pass_the_gate"),
        ("llm_evaluations", "last_hour_equals_quality_rollup"),
        ("llm_traces", "expectations_sound"),
        ("llm_traces", "expectations_usable"),
        ("llm_evaluations", "expectations_sound"),
        ("llm_evaluations", "expectations_usable"),
        ("end_user_feedback", "expectations_sound"),
        ("business_outcomes", "expectations_sound"),
        ("business_outcomes", "expectations_usable"),
        ("human_labels", "expectations_sound"),
        ("tenants", "expectations_sound"),
        ("tenants", "expectations_usable"),
        ("task_times", "expectations_sound"),
        ("canonical_examples", "expectations_sound"),
        ("provider_invoices", "expectations_sound"),
        ("provider_contracts", "expectations_sound"),
        ("exchange_rates", "expectations_sound"),
    }
    of_one_model = {
        n["name"]
        for n in _manifest(repository)["nodes"].values()
        if n["resource_type"] == "test" and n.get("attached_node") and n["config"]["enabled"]
    }
    assert of_one_model <= {name for _, name in checks}


def test_sensors_schedules_jobs(repository: dg.RepositoryDefinition) -> None:
    """Each by name, and all of them running from the start."""
    assert {s.name: s.minimum_interval_seconds for s in repository.sensor_defs} == {
        "regression_sensor": 30,
        "telemetry_freshness_sensor": 60,
        "telemetry_checks_sensor": 900,
        "failing_checks_sensor": 60,
        "outside_builds_sensor": 60,
    }
    assert {s.default_status for s in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    assert {s.name: (s.job_name, s.cron_schedule) for s in repository.schedule_defs} == {
        "daily_dbt_schedule": ("dbt_job", "30 2 * * *"),
        "hourly_efficiency_schedule": ("efficiency_job", "45 * * * *"),
        "monthly_compaction_schedule": ("compaction_job", "30 4 9 * *"),
        "daily_baselines_schedule": ("baselines_job", "5 0 * * *"),
        "weekly_calibration_schedule": ("calibration_job", "30 3 * * 1"),
        "hourly_complexity_schedule": ("complexity_job", "25 * * * *"),
        "daily_price_changes_schedule": ("price_changes_job", "0 4 * * *"),
    }
    assert {s.default_status for s in repository.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    assert {name for name in repository.job_names if not name.startswith("__")} == {
        "dbt_job",
        "efficiency_job",
        "compaction_job",
        "baselines_job",
        "calibration_job",
        "price_changes_job",
        "reprice_job",
        "complexity_job",
    }


def test_lineage_is_one_graph(repository: dg.RepositoryDefinition) -> None:
    """From the raw table to the alert without a gap."""
    graph = repository.asset_graph

    def parents(name: str) -> set[str]:
        return {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys}

    assert parents("llm_kpi_1min") == {"llm_traces"}
    assert parents("kpi_hourly") == {"llm_kpi_1h", "llm_quality_1h", "llm_quality_1d"}
    assert parents("ewma_baselines") == {"llm_kpi_1h", "llm_quality_1h"}
    assert parents("task_complexity_estimates") == {"llm_embeddings", "canonical_examples"}
    assert "task_complexity_estimates" in parents("stg_task_complexity_estimates")
    assert parents("alerts") == {"llm_kpi_1min", "llm_quality_1min", "llm_spend_15min", "ewma_baselines"}
    assert parents("price_changes") == {"llm_traces", "price_table"}


def test_freshness_policies(repository: dg.RepositoryDefinition) -> None:
    """Every raw table and the baselines say how old they may be."""
    graph = repository.asset_graph
    with_policy = {
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if graph.get(key).freshness_policy is not None
    }
    assert with_policy == RAW | {"ewma_baselines", "evaluator_calibrations"}


def test_dbt_job_covers_everything_of_dbt(repository: dg.RepositoryDefinition) -> None:
    """Every model, and nothing else."""
    selected = repository.get_job("dbt_job").asset_layer.executable_asset_keys
    models = _models()
    assert {key.to_user_string() for key in selected} == models


def test_efficiency_job_builds_the_mart_that_ages(repository: dg.RepositoryDefinition) -> None:
    """With its checks: the only mart that is not a view."""
    layer = repository.get_job("efficiency_job").asset_layer
    assert {key.to_user_string() for key in layer.executable_asset_keys} == {"efficiency_daily"}
    checked = {key.asset_key.to_user_string() for key in layer.asset_graph.asset_check_keys}
    assert checked == {"efficiency_daily"}
    materialized = {
        node["name"]: node["config"]["materialized"]
        for node in _manifest(repository)["nodes"].values()
        if node["resource_type"] == "model" and node["fqn"][1] == "marts"
    }
    assert [name for name, how in materialized.items() if how != "view"] == ["efficiency_daily"]


def test_validation_on_a_clean_checkout(tmp_path: Path) -> None:
    """`dagster definitions validate` finds no fault, with neither manifest nor store there."""
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "DAGSTER_HOME": str(tmp_path),
            "ASSAY_DATA_DIR": str(tmp_path / "data"),
            "ASSAY_CLICKHOUSE_URL": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stdout


def _models() -> set[str]:
    files = [*(PROJECT / "models").rglob("*.sql"), *(PROJECT / "seeds").rglob("*.csv")]
    return {file.stem for file in files} - OPTIONAL


def _manifest(repository: dg.RepositoryDefinition) -> dict[str, dict[str, dict[str, Any]]]:
    key = dg.AssetKey("kpi_daily")
    spec = repository.assets_defs_by_key[key].get_asset_spec(key)
    return spec.metadata["dagster_dbt/manifest"].manifest


def _manifest_sources(repository: dg.RepositoryDefinition) -> list[dict[str, str]]:
    return list(_manifest(repository)["sources"].values())
