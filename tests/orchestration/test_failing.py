"""Checks that fail are told to people, once, and again when they pass."""

from __future__ import annotations

import uuid
from pathlib import Path

import dagster as dg
import httpx
import pytest
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.events import DagsterEvent, DagsterEventType

from assay.settings import Settings, load_settings
from sensors.notify import DeliveryError
from tests.support.processes import answers, free_port, python, running


def told(url: str) -> list[str]:
    found = httpx.get(f"{url}/messages", trust_env=False).json()["messages"]
    return [entry["message"]["text"] for entry in found]


def test_what_begins_to_fail_is_told_once(
    settings: Settings, definitions: dg.Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.defs.traces.sensors import failing_checks_sensor
    from orchestration.resources import Store

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("ASSAY_SLACK_WEBHOOK_URL", f"{url}/T0/B0")
    load_settings.cache_clear()
    with dg.DagsterInstance.ephemeral() as instance:

        def judge(name: str, passed: bool, severity: dg.AssetCheckSeverity) -> None:
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(
                    asset_key=dg.AssetKey("llm_traces"),
                    check_name=name,
                    passed=passed,
                    severity=severity,
                    description="cost_status: <7> rows",
                    metadata={},
                )
            )

        def plan(name: str) -> None:
            """What a run says of every check that it is going to evaluate, when it begins."""
            instance.report_dagster_event(
                DagsterEvent(
                    event_type_value=DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED.value,
                    job_name="dbt_job",
                    event_specific_data=AssetCheckEvaluationPlanned(
                        asset_key=dg.AssetKey("llm_traces"), check_name=name
                    ),
                ),
                run_id=str(uuid.uuid4()),
            )

        def tick(cursor: str | None) -> dg.SensorResult:
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, definitions=definitions, resources={"store": Store()}
            )
            result = failing_checks_sensor(context)
            assert isinstance(result, dg.SensorResult)
            return result

        judge("expectations_usable", False, dg.AssetCheckSeverity.WARN)
        judge("spans_stored_once", True, dg.AssetCheckSeverity.ERROR)
        # Nothing listens: the tick fails, and the next one tells it.
        with pytest.raises(DeliveryError, match="webhook of production cannot be reached"):
            tick(None)
        argv = python("assay.simulator.webhook_sink", "--port", str(port))
        with running(argv, ready=answers(f"{url}/messages"), log=tmp_path / "sink.txt"):
            first = tick(None)
            assert told(url) == [
                "Check failed: llm_traces · expectations_usable: cost_status: &lt;7&gt; rows (warn)"
            ]
            assert first.skip_reason is not None
            assert first.skip_reason.skip_message == "failing checks: llm_traces · expectations_usable"
            judge("expectations_usable", False, dg.AssetCheckSeverity.WARN)
            assert tick(first.cursor).cursor == first.cursor
            # While it is being evaluated, and where that crashed, it is as it was.
            plan("expectations_usable")
            assert tick(first.cursor).cursor == first.cursor
            assert len(told(url)) == 1
            judge("expectations_usable", True, dg.AssetCheckSeverity.WARN)
            judge("spans_stored_once", False, dg.AssetCheckSeverity.ERROR)
            tick(first.cursor)
            assert told(url)[1].splitlines() == [
                "Check failed: llm_traces · spans_stored_once: cost_status: &lt;7&gt; rows (error)",
                "Check passes again: llm_traces · expectations_usable",
            ]


def test_a_check_that_is_gone_does_not_pass() -> None:
    from orchestration.defs.traces.failing import decide

    news = decide({}, '["t · gone", "t · there"]', ["t · there"])
    assert (news.text, news.cursor) == ("Check passes again: t · there", "[]")
