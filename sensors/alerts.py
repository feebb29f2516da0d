"""The life of an alert, as append-only events: opened, updated, upgraded, acknowledged, resolved, delivered.

Every event has an id that follows from what it says, and is inserted under that id: repeating a tick, a
command or a delivery writes nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2s
from typing import Any

from clickhouse_connect.driver.client import Client

# Who acts where no person does.
DETECTOR = "assay"

_COLUMNS = (
    "alert_id",
    "event_id",
    "event",
    "occurred_at",
    "tenant_id",
    "level",
    "rule",
    "scope",
    "model",
    "prompt_template_version",
    "cohort",
    "summary",
    "evidence",
    "actor",
)


class UnknownAlertError(LookupError):
    """There is no open alert of this id; the message says what there is."""


@dataclass(frozen=True)
class Event:
    """One row of ``alerts``. ``discriminator`` tells apart events of one kind that may occur more than
    once.
    """

    alert_id: str
    event: str
    occurred_at: datetime
    tenant_id: str
    level: str
    rule: str
    scope: str
    model: str
    prompt_template_version: str
    cohort: str
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    actor: str = DETECTOR
    discriminator: str = ""

    @property
    def event_id(self) -> str:
        return digest(self.alert_id, self.event, self.discriminator)


@dataclass(frozen=True)
class Alert:
    """The state of one alert, as ``alerts_current`` gives it."""

    alert_id: str
    tenant_id: str
    cohort: str
    level: str
    rule: str
    scope: str
    model: str
    prompt_template_version: str
    summary: str
    status: str
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    resolved_by: str
    # JSON: the figures of the newest sighting.
    evidence: str

    def event(self, kind: str, at: datetime, **changes: Any) -> Event:
        """An event of this alert, with its own dimensions unless changed."""
        own = {
            name: getattr(self, name)
            for name in (
                *("alert_id", "tenant_id", "cohort", "level", "rule", "scope"),
                *("model", "prompt_template_version", "summary"),
            )
        }
        return Event(event=kind, occurred_at=at, **{**own, **changes})


def digest(*parts: str) -> str:
    """A short id that follows from its parts."""
    return blake2s("\x1f".join(parts).encode(), digest_size=8).hexdigest()


def current(client: Client, where: str, parameters: Mapping[str, Any]) -> list[Alert]:
    """Alerts that satisfy a condition on ``alerts_current``, oldest first."""
    names = list(Alert.__dataclass_fields__)
    answer = client.query(
        f"SELECT {', '.join(names)} FROM alerts_current WHERE {where} ORDER BY opened_at, alert_id",
        parameters=dict(parameters),
        tz_mode="aware",
    )
    return [Alert(**row) for row in answer.named_results()]


def write(client: Client, events: Iterable[Event]) -> int:
    """Store events that are not stored yet; how many were given.

    Each is a block of its own, so that the store refuses it by its id when it is sent again.
    """
    count = 0
    for event in events:
        row = [
            getattr(event, name) if name != "evidence" else json.dumps(event.evidence, sort_keys=True)
            for name in _COLUMNS
        ]
        client.insert(
            "alerts",
            [row],
            column_names=list(_COLUMNS),
            settings={"insert_deduplication_token": event.event_id, "insert_deduplicate": 1},
        )
        count += 1
    return count


def acknowledge(client: Client, alert_id: str, *, by: str) -> None:
    """Note that somebody is looking at an alert. Repeating it changes nothing.

    Raises:
        UnknownAlertError: no such alert, or it is resolved.
    """
    alert = _open(client, alert_id)
    write(client, [alert.event("acknowledged", datetime.now(UTC), actor=by, discriminator=by)])


def resolve(client: Client, alert_id: str, *, by: str) -> None:
    """Resolve an alert by hand. The detector then stays silent on its tenant for the policy's cool-down.

    Raises:
        UnknownAlertError: no such alert, or it is resolved already.
    """
    alert = _open(client, alert_id)
    write(client, [alert.event("resolved", datetime.now(UTC), actor=by)])


def _open(client: Client, alert_id: str) -> Alert:
    found = current(client, "alert_id = {id:String}", {"id": alert_id})
    if not found:
        raise UnknownAlertError(f"no alert {alert_id!r}; list them: assay alerts list --all")
    if found[0].status == "resolved":
        raise UnknownAlertError(
            f"alert {alert_id!r} was resolved at {found[0].resolved_at:%Y-%m-%d %H:%M} UTC "
            f"by {found[0].resolved_by}"
        )
    return found[0]
