"""What follows from calls without a price: which alerts open, go on and end. Pure.

One alert per provider and model, whichever tenants and templates are affected: what is missing is one price.
Its tenant is therefore empty, and readers of one tenant's rows do not see it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sensors import alerts
from sensors.alerts import Alert, Event
from sensors.policy import Timing, Unpriced
from sensors.unpriced.readings import QUARTER, RECENT_QUARTERS, Details, Name, Stretch, Volume
from sensors.unpriced.remedy import remedy

# Until now it had no real volume without a price; or it had, and has far more of it.
NEW: Final = "unpriced-new"
GROWTH: Final = "unpriced-growth"
RULES: Final = (NEW, GROWTH)
FAMILY: Final = "unpriced"


@dataclass(frozen=True)
class Known:
    """What is on record: alerts that are open, and stretches that the past is without."""

    open: Mapping[Name, Alert]
    mended: Sequence[Stretch]
    # Until when somebody's decision to resolve an alert keeps the detector silent on its model.
    silent_until: Mapping[Name, datetime]


def known(found: Iterable[Alert], policy: Unpriced, timing: Timing) -> Known:
    """Sort alerts of this detector.

    Where an alert ended by itself, the price was put right: its time is no measure of what is normal. Where
    a person resolved it, the calls may well stay without a price.
    """
    window = timedelta(minutes=policy.window_minutes)
    still_open: dict[Name, Alert] = {}
    mended: list[Stretch] = []
    silent: dict[Name, datetime] = {}
    for alert in found:
        name = (str(json.loads(alert.evidence)["provider"]), alert.model)
        if alert.resolved_at is None:
            still_open[name] = alert
        elif alert.resolved_by == alerts.DETECTOR:
            mended.append(Stretch(name, alert.opened_at - window, alert.resolved_at))
        else:
            until = alert.resolved_at + timedelta(minutes=timing.cooldown_minutes)
            silent[name] = max(until, silent.get(name, until))
    return Known(still_open, mended, silent)


def fires(volume: Volume, policy: Unpriced) -> str:
    """The rule that holds for a provider's model; empty where none does.

    z = √2 · (√now − √past): the square root of a Poisson count has variance 1/4 (Anscombe 1948).
    """
    if volume.unpriced < policy.min_calls or not volume.persisted or not _goes_on(volume, policy):
        return ""
    past = volume.past_unpriced or 0.0
    if past < policy.min_calls:
        return NEW
    z = math.sqrt(2) * (math.sqrt(volume.unpriced) - math.sqrt(past))
    return GROWTH if volume.unpriced > policy.growth_above * past and z >= policy.significance else ""


def openings(
    volumes: Sequence[Volume], policy: Unpriced, on_record: Known, now: datetime
) -> dict[Name, tuple[str, Volume]]:
    """Models for which an alert is to be opened, with the rule."""
    found = {}
    for volume in volumes:
        silent = volume.name in on_record.silent_until and now < on_record.silent_until[volume.name]
        if volume.name not in on_record.open and not silent and (rule := fires(volume, policy)):
            found[volume.name] = (rule, volume)
    return found


def opened(
    opening: tuple[str, Volume], policy: Unpriced, details: Details, now: datetime, end: datetime
) -> Event:
    """The event that opens an alert."""
    rule, volume = opening
    provider, model = volume.name
    evidence = _evidence(volume, policy, details, end)
    return Event(
        alert_id=alerts.digest(FAMILY, provider, model, f"{end:%Y-%m-%dT%H:%MZ}"),
        event="opened",
        occurred_at=now,
        tenant_id="",
        level=policy.level.label,
        rule=rule,
        scope="model",
        model=model,
        prompt_template_version="",
        cohort="production",
        summary=summary(evidence),
        evidence=evidence,
    )


def followed(
    volumes: Sequence[Volume],
    policy: Unpriced,
    timing: Timing,
    on_record: Known,
    now: datetime,
    end: datetime,
) -> list[Event]:
    """What becomes of the alerts that are open."""
    events = []
    by_name = {volume.name: volume for volume in volumes}
    for name, alert in on_record.open.items():
        said = json.loads(alert.evidence)
        volume = by_name.get(name)
        silence = now - alert.last_seen_at
        if volume is None or end - volume.last_call_at > timedelta(hours=policy.forget_hours):
            # Not sooner: calls that stay away say nothing about their price.
            if end - alert.last_seen_at > timedelta(hours=policy.forget_hours):
                text = f"no calls of it for {policy.forget_hours} hours"
                events.append(alert.event("resolved", now, summary=text, evidence=said))
        elif _goes_on(volume, policy):
            if silence >= timedelta(minutes=timing.update_minutes):
                # Why and whose is asked once, when it opens.
                details = Details(said["reasons"], said["tenants"])
                evidence = _evidence(volume, policy, details, end)
                events.append(
                    alert.event(
                        "updated",
                        now,
                        discriminator=f"{end:%Y-%m-%dT%H:%MZ}",
                        summary=summary(evidence),
                        evidence=evidence,
                    )
                )
        elif volume.recent_calls and silence >= timedelta(
            minutes=timing.quiet_minutes + timing.update_minutes
        ):
            text = (
                f"{volume.recent_calls - volume.recent_unpriced} of the last {volume.recent_calls} calls "
                "have a price; `assay reprice` prices those before"
            )
            events.append(alert.event("resolved", now, summary=text, evidence=said))
    return events


def summary(evidence: Mapping[str, Any]) -> str:
    """What happened, in one line."""
    reasons = "; ".join(evidence["reasons"]) or "reason unknown"
    past = evidence["past_unpriced"]
    before = "no such calls before" if not past else f"{past:,.0f} at most before"
    return (
        f"{evidence['name']}: {evidence['unpriced']:,} calls with {evidence['tokens']:,} tokens "
        f"without a price in {evidence['window']['minutes']} min ({before}): {reasons}"
    )


def _goes_on(volume: Volume, policy: Unpriced) -> bool:
    """Whether the newest calls lack a price still."""
    return volume.recent_unpriced > policy.resolve_share_below * volume.recent_calls


def _evidence(volume: Volume, policy: Unpriced, details: Details, end: datetime) -> dict[str, Any]:
    provider, model = volume.name
    begin = end - timedelta(minutes=policy.window_minutes)
    first = volume.first_unpriced_at
    return {
        "name": f"{provider}/{model}" if provider else model,
        "provider": provider,
        "window": {
            "start": begin.isoformat(),
            "end": end.isoformat(),
            "minutes": policy.window_minutes,
        },
        "calls": volume.calls,
        "unpriced": volume.unpriced,
        "tokens": volume.tokens,
        "recent_minutes": RECENT_QUARTERS * QUARTER // timedelta(minutes=1),
        "past_windows": volume.past_windows,
        "past_unpriced": volume.past_unpriced,
        "first_unpriced_at": first.isoformat() if first else None,
        "reasons": dict(details.reasons),
        "tenants": dict(details.tenants),
        "remedy": remedy(provider, model, list(details.reasons), first or begin, end),
    }
