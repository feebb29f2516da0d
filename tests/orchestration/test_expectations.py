"""The suites of the raw tables as Dagster runs them, in the job that builds on these tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assay.settings import Settings, load_settings
from assay.warehouse.client import connect
from orchestration.defs.traces.assets import ASSETS as RAW_ASSETS
from orchestration.defs.traces.expectations import SPECS, raw_expectations
from orchestration.resources import Store
from tests.support.rows import evaluation, insert, span

ONLY = "raw_expectations_alone"


def execute(definitions: dg.Definitions, job: str, **fields: Any) -> dg.ExecuteInProcessResult:
    """A run of a job with one row in the store."""
    with connect(load_settings()) as client:
        insert(client, "llm_traces", span(datetime.now(UTC), **fields))
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    return {
        (e.asset_key.to_user_string(), e.check_name): e
        for e in result.get_asset_check_evaluations()
        if e.check_name.startswith("expectations_")
    }


def test_corrupt_rows_stop_what_is_built_on_them(settings: Settings, definitions: dg.Definitions) -> None:
    result = execute(definitions, "dbt_job", cost_usd=None)
    assert not result.success
    found = evaluations(result)
    failed = found["llm_traces", "expectations_sound"]
    assert not failed.passed
    assert failed.severity is dg.AssetCheckSeverity.ERROR
    assert failed.blocking
    assert failed.description == "a cost is NULL exactly where there is no price: 1 rows"
    assert all(e.passed for key, e in found.items() if key != ("llm_traces", "expectations_sound"))
    assert not [e for e in result.all_events if e.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION]


def of_raw_tables() -> dg.Definitions:
    """The checks without what is built on the tables."""
    return dg.Definitions(
        assets=RAW_ASSETS,
        asset_checks=[raw_expectations],
        jobs=[dg.define_asset_job(ONLY, selection=dg.AssetSelection.checks(raw_expectations))],
        resources={"store": Store()},
        executor=dg.in_process_executor,
    )


# By table, a row of which both what makes it corrupt and what makes it useless is told.
CORRUPT: dict[str, dict[str, Any]] = {
    "llm_evaluations": evaluation(datetime.now(UTC), evaluator="", score=None),
    "end_user_feedback": {"trace_id": "t", "value": 7.0},
    "business_outcomes": {"event": "", "trace_id": "of two tenants"},
    "human_labels": {"trace_id": "t", "rater": ""},
    "tenants": {"tenant_id": "org_1", "tier": "gold", "time_zone": "Mars/Olympus"},
    "task_times": {"task_type": ""},
    "canonical_examples": {"task_type": "triage", "text": ""},
    "provider_invoices": {"provider": "", "model": "m"},
    "provider_contracts": {"contract_id": "c", "kind": "gift"},
    "exchange_rates": {"currency": "EURO"},
}


def test_every_suite_is_a_check_that_fails(settings: Settings) -> None:
    with connect(settings) as client:
        for table, row in CORRUPT.items():
            insert(client, table, row)
        for tenant in ("org_1", "org_2"):
            insert(client, "llm_traces", span(datetime.now(UTC), tenant_id=tenant, trace_id="of two tenants"))
    result = execute(of_raw_tables(), ONLY, cost_usd=-1, cost_status="unpriced")
    found = evaluations(result)
    assert {(spec.asset_key.to_user_string(), spec.name) for spec in SPECS} == set(found)
    for (table, name), check in found.items():
        is_sound = name == "expectations_sound"
        assert not check.passed, (table, name)
        assert check.blocking == is_sound
        assert check.severity is (dg.AssetCheckSeverity.ERROR if is_sound else dg.AssetCheckSeverity.WARN)


def test_incomplete_rows_alert_and_stop_nothing(settings: Settings, definitions: dg.Definitions) -> None:
    result = execute(of_raw_tables(), ONLY, cost_usd=None, cost_status="unpriced", prompt_template_version="")
    assert result.success
    found = evaluations(result)
    warned = found["llm_traces", "expectations_usable"]
    assert not warned.passed
    assert warned.severity is dg.AssetCheckSeverity.WARN
    assert "cost_status" in (warned.description or "")
    assert "prompt_template_version" in (warned.description or "")
    assert found["llm_traces", "expectations_sound"].passed
    assert found["human_labels", "expectations_sound"].description == "no rows to look at"
