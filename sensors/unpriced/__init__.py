"""Calls without a price: an alert per provider and model once their volume is real, or grows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from clickhouse_connect.driver.client import Client

from sensors.alerts import Alert, Event
from sensors.policy import Timing, Unpriced
from sensors.unpriced import incidents, readings
from sensors.unpriced.incidents import RULES

__all__ = ["RULES", "events"]


def events(
    client: Client, policy: Unpriced, timing: Timing, on_record: Sequence[Alert], now: datetime, end: datetime
) -> list[Event]:
    """What is new about calls without a price at ``now``: read, decide.

    Args:
        on_record: alerts of :data:`RULES` that are open, or were resolved within the policy's look-back.
        end: of the newest minute that is looked at.
    """
    known = incidents.known(on_record, policy, timing)
    volumes = readings.volumes(client, policy, end, known.open, known.mended)
    openings = incidents.openings(volumes, policy, known, now)
    details = readings.details(client, policy, end, openings)
    return [
        *incidents.followed(volumes, policy, timing, known, now, end),
        *(
            incidents.opened(opening, policy, details.get(name, readings.Details()), now, end)
            for name, opening in openings.items()
        ),
    ]
