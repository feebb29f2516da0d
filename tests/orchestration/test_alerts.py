"""The regression sensor is a shell: what it says, and that what fails looks failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from assay.settings import Settings, load_settings
from assay.warehouse.client import connect
from sensors.policy import PolicyError
from tests.support.rows import insert, span


@pytest.fixture
def sensor(settings: Settings) -> dg.SensorDefinition:
    """The sensor on this test's database."""
    from orchestration.defs.alerts.sensors import regression_sensor

    return regression_sensor


def context() -> dg.SensorEvaluationContext:
    """A tick's context with the real store."""
    from orchestration.resources import Store

    return dg.build_sensor_context(resources={"store": Store()})


def test_tick_says_what_it_saw(settings: Settings, sensor: dg.SensorDefinition) -> None:
    """Figures in the reason, and no event where nothing changed."""
    with connect(settings) as client:
        insert(client, "llm_traces", *(span(datetime.now(UTC) - timedelta(minutes=m)) for m in range(2, 12)))
    result = sensor(context())
    assert isinstance(result, dg.SensorResult)
    assert not result.asset_events
    assert not result.run_requests
    assert result.skip_reason is not None
    text = result.skip_reason.skip_message
    assert text is not None
    assert "series until" in text
    assert text.endswith("no baselines yet: no change; 0 delivered")
    assert not text.startswith("0 series")


def test_failed_tick_fails(
    sensor: dg.SensorDefinition, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A policy that cannot be used is not a quiet tick."""
    monkeypatch.setenv("ASSAY_POLICY_FILE", str(tmp_path / "missing.yml"))
    load_settings.cache_clear()
    with pytest.raises(PolicyError, match=r"missing\.yml"):
        sensor(context())


def test_changes_are_reported(definitions: dg.Definitions) -> None:
    """An opened alert is an event of the asset and a word in the summary."""
    from orchestration.defs.alerts.sensors import changed, summary
    from sensors.regression import Tick

    now = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
    tick = Tick(
        now=now,
        end=datetime(2026, 3, 4, 12, 0, tzinfo=UTC),
        baseline_as_of=now.date(),
        series=1412,
        cost_states={},
        quality_states={},
        opened=("a",),
        updated=("b", "c"),
        upgraded=(),
        resolved=(),
    )
    assert changed(tick) == {"opened": 1, "updated": 2}
    assert summary(tick, 1) == (
        "1,412 series until 12:00 UTC, baselines of 2026-03-04: 1 opened, 2 updated; 1 delivered"
    )
