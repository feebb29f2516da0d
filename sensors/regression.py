"""One tick of the regression detector: read, decide, write what is new."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from sensors import alerts, diagnosis, unpriced
from sensors.alerts import Alert, Event
from sensors.findings import Finding
from sensors.judgement import Judgement, judge
from sensors.policy import Level, Policy
from sensors.readings import Readings, read

# What the rules of this detector look for; part of an alert's identity.
FAMILY = "regression"


@dataclass(frozen=True)
class Tick:
    """What a tick saw and did. Ids are those of alerts."""

    now: datetime
    # End of the newest minute that was looked at.
    end: datetime
    # None: there are no baselines young enough, and every series is cold.
    baseline_as_of: date | None
    # Series of all scopes with traffic in the longest window, by what is known about their cost and quality.
    series: int
    cost_states: Mapping[str, int]
    quality_states: Mapping[str, int]
    opened: tuple[str, ...]
    updated: tuple[str, ...]
    upgraded: tuple[str, ...]
    resolved: tuple[str, ...]


def tick(client: Client, policy: Policy, now: datetime) -> Tick:
    """Judge all traffic at ``now`` and write what changed to ``alerts``.

    Reading, deciding and writing can be repeated: with the same ``now`` nothing is written twice.
    """
    readings = read(client, policy, now)
    # Resolved ones count for as long as a window could reach back into them, or silence was asked for.
    memory = timedelta(
        minutes=max(frame.begin for frame in readings.frames.all) + policy.timing.quiet_minutes
    )
    memory = max(memory, timedelta(minutes=policy.timing.cooldown_minutes))
    on_record = _on_record(client, policy, now - memory, now)
    known = [alert for alert in on_record if alert.rule not in unpriced.RULES]
    judgement = judge(readings, policy, _blocked(readings, policy, known, now))
    planned = plan(judgement, readings, policy, known, now)
    found = diagnosis.diagnose(
        client,
        [_subject(event) for event in planned if event.event in ("opened", "upgraded")],
        timedelta(minutes=policy.timing.deployment_lookback_minutes),
    )
    events = [_diagnosed(event, found.get(event.alert_id)) for event in planned]
    if policy.unpriced is not None:
        others = [alert for alert in on_record if alert.rule in unpriced.RULES]
        events += unpriced.events(client, policy.unpriced, policy.timing, others, now, readings.end)
    alerts.write(client, events)

    def ids(kind: str) -> tuple[str, ...]:
        return tuple(event.alert_id for event in events if event.event == kind)

    return Tick(
        now=now,
        end=readings.end,
        baseline_as_of=readings.baseline_as_of,
        series=judgement.series,
        cost_states=judgement.cost_states,
        quality_states=judgement.quality_states,
        opened=ids("opened"),
        updated=ids("updated"),
        upgraded=ids("upgraded"),
        resolved=ids("resolved"),
    )


def _on_record(client: Client, policy: Policy, since: datetime, now: datetime) -> list[Alert]:
    """Alerts that are open, or were until of late."""
    lookback = timedelta(days=0 if policy.unpriced is None else policy.unpriced.lookback_days)
    return alerts.current(
        client,
        "status != 'resolved' OR resolved_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC') "
        "OR (rule IN {unpriced:Array(String)} "
        "AND resolved_at > fromUnixTimestamp64Milli({lookback:Int64}, 'UTC'))",
        {
            "since": int(since.timestamp() * 1000),
            "unpriced": list(unpriced.RULES),
            "lookback": int((now - lookback).timestamp() * 1000),
        },
    )


def plan(
    judgement: Judgement, readings: Readings, policy: Policy, known: Sequence[Alert], now: datetime
) -> list[Event]:
    """The events that follow from what was found and what is open. Pure.

    One alert per tenant and cohort at a time: a louder finding upgrades it, any other keeps it open, and it
    is resolved once it has been quiet, with data to show it, for ``quiet_minutes``.
    """
    events: list[Event] = []
    is_open = {(a.tenant_id, a.cohort): a for a in known if a.status != "resolved"}
    for key, finding in judgement.findings.items():
        alert = is_open.get(key)
        if alert is None:
            events.append(_opened(finding, readings, now))
        elif finding.level > Level[alert.level.upper()]:
            events.append(_seen(alert, "upgraded", finding, readings, now))
        elif now - alert.last_seen_at >= timedelta(minutes=policy.timing.update_minutes):
            events.append(_seen(alert, "updated", finding, readings, now))
    longest = timedelta(minutes=policy.windows[-1].minutes)
    quiet = timedelta(minutes=policy.timing.quiet_minutes + policy.timing.update_minutes)
    for key, alert in is_open.items():
        if key in judgement.findings:
            continue
        silence = now - alert.last_seen_at
        if key in judgement.holding:
            if silence >= timedelta(minutes=policy.timing.update_minutes):
                # Nothing new was measured: what was, stays.
                said = json.loads(alert.evidence)
                events.append(alert.event("updated", now, evidence=said, discriminator=_minute(readings.end)))
        elif key in judgement.quiet(alert.rule) and silence >= quiet:
            events.append(
                alert.event(
                    "resolved",
                    now,
                    summary=f"back within the policy for {policy.timing.quiet_minutes} minutes",
                )
            )
        elif alert.cohort == "experiment" and key not in judgement.present and silence >= longest:
            # Production without traffic is not resolved: nothing shows that it is well. An experiment just
            # ends.
            events.append(alert.event("resolved", now, summary="the experiment sends no more traffic"))
    return events


def _blocked(
    readings: Readings, policy: Policy, known: Sequence[Alert], now: datetime
) -> dict[tuple[str, str], datetime]:
    """For tenants whose alert is over: the time before which no window may reach, so that the end of an
    incident does not open it again. A time in the future is silence.
    """
    blocked: dict[tuple[str, str], datetime] = {}
    for alert in known:
        if alert.status != "resolved" or alert.resolved_at is None:
            continue
        if alert.resolved_by == alerts.DETECTOR:
            until = alert.resolved_at - timedelta(minutes=policy.timing.quiet_minutes)
        elif now < alert.resolved_at + timedelta(minutes=policy.timing.cooldown_minutes):
            until = readings.end + timedelta(minutes=1)
        else:
            until = alert.resolved_at
        key = (alert.tenant_id, alert.cohort)
        blocked[key] = max(until, blocked.get(key, until))
    return blocked


def _opened(finding: Finding, readings: Readings, now: datetime) -> Event:
    return Event(
        alert_id=alerts.digest(finding.tenant_id, finding.cohort, FAMILY, _minute(readings.end)),
        event="opened",
        occurred_at=now,
        tenant_id=finding.tenant_id,
        cohort=finding.cohort,
        **_told(finding, readings),
    )


def _seen(alert: Alert, kind: str, finding: Finding, readings: Readings, now: datetime) -> Event:
    told = _told(finding, readings)
    # What is open does not get quieter until it is resolved.
    told["level"] = max(finding.level, Level[alert.level.upper()]).label
    return alert.event(kind, now, discriminator=_minute(readings.end), **told)


def _told(finding: Finding, readings: Readings) -> dict[str, Any]:
    return {
        "level": finding.level.label,
        "rule": finding.rule,
        "scope": finding.scope,
        "model": finding.model,
        "prompt_template_version": finding.template,
        "summary": finding.summary,
        "evidence": finding.evidence(readings),
    }


def _subject(event: Event) -> diagnosis.Subject:
    window = event.evidence["window"]
    return diagnosis.Subject(
        alert_id=event.alert_id,
        tenant_id=event.tenant_id,
        cohort=event.cohort,
        template=event.prompt_template_version,
        start=datetime.fromisoformat(window["start"]),
        end=datetime.fromisoformat(window["end"]),
    )


def _diagnosed(event: Event, found: Mapping[str, Any] | None) -> Event:
    if found is None:
        return event
    changes = found["changes"]
    summary = f"{event.summary}; {changes[0]}" if changes else event.summary
    return replace(event, summary=summary, evidence={**event.evidence, "diagnosis": dict(found)})


def _minute(end: datetime) -> str:
    return end.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
