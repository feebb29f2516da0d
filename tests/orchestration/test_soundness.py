"""Each check of the raw tables, passing and failing on real rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse.client import connect
from orchestration.defs.traces import soundness
from tests.support.rows import evaluation, insert, span

CHECKS = {check.name: check for check in soundness.CHECKS}


def half_an_hour_ago() -> datetime:
    """Inside the window that checks look at."""
    return datetime.now(UTC) - timedelta(minutes=30)


def _repeat_a_span(client: Client) -> None:
    repeated = span(half_an_hour_ago())
    insert(client, "llm_traces", repeated)
    # Another model, as a mapping of a second source might say: the same call all the same.
    insert(client, "llm_traces", {**repeated, "model": "gpt-4o"})


def _lose_rollup_rows(client: Client) -> None:
    client.command("TRUNCATE TABLE llm_kpi_1min")


def _lose_quality_rollup_rows(client: Client) -> None:
    client.command("TRUNCATE TABLE llm_quality_1min")


def _stop_pricing(client: Client) -> None:
    unpriced = {"cost_usd": None, "cost_status": "unpriced", "model": "in-house-7b"}
    insert(client, "llm_traces", *(span(half_an_hour_ago(), **unpriced) for _ in range(10)))


def _reject_spans(client: Client) -> None:
    insert(
        client,
        "ingest_rejects",
        {
            "received_at": half_an_hour_ago(),
            "kind": "span",
            "source": "native",
            "position": 0,
            "field": "tokens.prompt",
            "reason": "must not be negative",
            "payload": "{}",
        },
    )


@pytest.mark.parametrize(
    ("name", "damage", "says"),
    [
        ("spans_stored_once", _repeat_a_span, "1 of 22 records"),
        ("last_hour_equals_kpi_rollup", _lose_rollup_rows, "calls: raw 20, rollup 0"),
        ("calls_are_priced", _stop_pricing, "10 of 30 calls"),
        ("spans_are_accepted", _reject_spans, "1 of 21 spans rejected"),
        ("last_hour_equals_quality_rollup", _lose_quality_rollup_rows, "scores: raw 5, rollup 0"),
    ],
)
def test_checks(settings: Settings, name: str, damage: Callable[[Client], None], says: str) -> None:
    """Passes on sound rows, and says what is wrong with damaged ones."""
    check = CHECKS[name]
    with connect(settings) as client:
        assert soundness.judge(client, check).passed, "nothing is wrong with nothing"
        insert(client, "llm_traces", *(span(half_an_hour_ago()) for _ in range(20)))
        insert(client, "llm_evaluations", *(evaluation(half_an_hour_ago()) for _ in range(5)))
        sound = soundness.judge(client, check)
        assert sound.passed, sound
        damage(client)
        found = soundness.judge(client, check)
    assert not found.passed
    assert says in found.description


def test_all_are_covered() -> None:
    """A new check comes with its failure."""
    marks = next(mark for mark in test_checks.pytestmark if mark.name == "parametrize")
    assert {case[0] for case in marks.args[1]} == set(CHECKS)


def test_corrected_rows_are_sound(settings: Settings) -> None:
    """A correction leaves raw table and rollup equal, and no call twice."""
    wrong = span(half_an_hour_ago())
    with connect(settings) as client:
        insert(client, "llm_traces", wrong)
        insert(client, "llm_traces", {**wrong, "sign": -1}, {**wrong, "completion_tokens": 300})
        for check in soundness.CHECKS:
            assert soundness.judge(client, check).passed, check.name


def test_sensor_and_asset_checks_agree(settings: Settings, definitions: dg.Definitions) -> None:
    """The sensor reports what a person's run of the same check finds."""
    from orchestration.defs.traces.checks import CHECKS as ASSET_CHECKS
    from orchestration.defs.traces.sensors import telemetry_checks_sensor
    from orchestration.resources import Store

    with connect(settings) as client:
        insert(client, "llm_traces", *(span(half_an_hour_ago()) for _ in range(3)))
        _stop_pricing(client)
    result = telemetry_checks_sensor(dg.build_sensor_context(resources={"store": Store()}))
    assert isinstance(result, dg.SensorResult)
    reported = {event.check_name: event for event in result.asset_events}
    assert result.skip_reason is not None
    assert result.skip_reason.skip_message == "5 checks, failed: calls_are_priced"
    assert reported["calls_are_priced"].severity is dg.AssetCheckSeverity.WARN
    for definition in ASSET_CHECKS:
        (spec,) = definition.check_specs
        by_hand = definition(store=Store())
        assert isinstance(by_hand, dg.AssetCheckResult)
        assert by_hand.passed == reported[spec.name].passed
        assert by_hand.severity == reported[spec.name].severity
