from __future__ import annotations

import json
from typing import Any

import dagster as dg

from assay.settings import Settings
from assay.warehouse.client import connect
from orchestration.defs.kpis import outside
from orchestration.defs.kpis.sensors import outside_builds_sensor
from orchestration.manifest import target_dir
from orchestration.resources import Store


def dbt_run(at: str, **status: str) -> dict[str, Any]:
    return {
        "metadata": {"generated_at": at},
        "results": [
            {"unique_id": f"model.assay.{name}", "status": found, "execution_time": 0.25}
            for name, found in status.items()
        ]
        + [{"unique_id": "test.assay.not_null_x.1a2b", "status": "success", "execution_time": 0.1}],
    }


def test_models_that_were_built_are_reported_once() -> None:
    run = dbt_run("2026-01-02T00:00:00Z", kpi_daily="success", kpi_hourly="error")
    first = outside.decide(run, {}, frozenset(), "")
    assert [event.asset_key.to_user_string() for event in first.events] == ["kpi_daily"]
    again = outside.decide(run, {}, frozenset(), first.cursor)
    assert again.events == []
    later = outside.decide(
        dbt_run("2026-01-02T00:00:01Z", kpi_daily="success"), {}, frozenset(), again.cursor
    )
    assert len(later.events) == 1


def test_days_that_dagster_has_are_not_reported_again() -> None:
    report = outside.decide(None, {"2026-01-01": 3, "2026-01-02": 4}, frozenset({"2026-01-01"}), "x")
    assert [(event.partition, event.asset_key.to_user_string()) for event in report.events] == [
        ("2026-01-02", "ewma_baselines")
    ]
    assert report.cursor == "x"


def test_the_sensor_reads_store_and_dbt(settings: Settings) -> None:
    target = target_dir(settings)
    target.mkdir(parents=True)
    (target / "run_results.json").write_text(json.dumps(dbt_run("2026-01-02T00:00:00Z", kpi_daily="success")))
    with connect(settings) as client:
        client.command("INSERT INTO kpi_baselines (as_of) VALUES ('2026-01-01')")
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(instance=instance)
        result = outside_builds_sensor(context, store=Store())
    assert isinstance(result, dg.SensorResult)
    assert {event.asset_key.to_user_string() for event in result.asset_events} == {
        "kpi_daily",
        "ewma_baselines",
    }
