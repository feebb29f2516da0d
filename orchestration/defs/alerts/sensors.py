"""The regression rules, applied inside the tick: a run costs twenty seconds, a tick milliseconds."""

from datetime import UTC, datetime

import dagster as dg

from orchestration.resources import Store
from sensors import notify, regression
from sensors import policy as policies


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges every series against its baseline, writes `alerts`, delivers what was not delivered.",
)
def regression_sensor(store: Store) -> dg.SkipReason:
    """One tick. It starts no run: what it did stands in its reason; what went wrong fails it."""
    now = datetime.now(UTC)
    settings = store.settings
    with store.client() as client:
        tick = regression.tick(client, policies.load(settings.policy_file), now)
        delivered = notify.deliver(client, settings, now)
    return dg.SkipReason(f"{tick}; {delivered} delivered")
