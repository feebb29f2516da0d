"""The regression rules, applied inside the tick: a run costs twenty seconds, a tick milliseconds."""

from datetime import UTC, datetime

import dagster as dg

from orchestration.resources import Store
from sensors import notify, regression
from sensors import policy as policies
from sensors.regression import Tick


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges every series against its baseline, writes `alerts`, delivers what was not delivered.",
)
def regression_sensor(store: Store) -> dg.SensorResult:
    """One tick. It starts no run: what it did stands in its reason, and what went wrong fails it."""
    now = datetime.now(UTC)
    settings = store.settings
    with store.client() as client:
        tick = regression.tick(client, policies.load(settings.policy_file), now)
        delivered = notify.deliver(client, settings, now)
    changes = changed(tick)
    return dg.SensorResult(
        asset_events=[dg.AssetMaterialization("alerts", metadata=changes)] if changes else [],
        skip_reason=summary(tick, delivered),
    )


def changed(tick: Tick) -> dict[str, int]:
    """How many alerts changed in which way, without the ways in which none did."""
    counts = {name: len(getattr(tick, name)) for name in ("opened", "upgraded", "updated", "resolved")}
    return {name: count for name, count in counts.items() if count}


def summary(tick: Tick, delivered: int) -> str:
    """One line for people: what the tick looked at and what came of it."""
    baselines = f"baselines of {tick.baseline_as_of}" if tick.baseline_as_of else "no baselines yet"
    changes = ", ".join(f"{count} {name}" for name, count in changed(tick).items()) or "no change"
    return f"{tick.series:,} series until {tick.end:%H:%M} UTC, {baselines}: {changes}; {delivered} delivered"
