"""The detector's tick on calls without a price: stories of traffic, the alert, its message, its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from sensors import alerts, regression
from sensors.messages import message
from sensors.notify import pending
from sensors.policy import load
from tests.support.rows import insert, span

POLICY = load()
SETTLE = timedelta(seconds=POLICY.timing.settle_seconds)
NO_LIST: Mapping[str, Any] = {
    "provider": "acme",
    "model": "acme-large",
    "cost_usd": None,
    "cost_status": "unpriced",
    "cost_reason": "no price list of provider acme",
}


def calls(
    client: Client, start: datetime, end: datetime, every: timedelta, **fields: Any
) -> list[dict[str, Any]]:
    """Store a call at ``start`` and at every step after it, before ``end``."""
    rows = [span(start + n * every, **{**NO_LIST, **fields}) for n in range(-((start - end) // every))]
    insert(client, "llm_traces", *rows)
    return rows


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def watch(client: Client, *moments: datetime) -> list[regression.Tick]:
    return [regression.tick(client, POLICY, moment + SETTLE) for moment in moments]


def events(client: Client) -> list[dict[str, Any]]:
    rows = client.query(
        "SELECT * FROM alerts ORDER BY occurred_at, event_id", tz_mode="aware"
    ).named_results()
    return [{**row, "evidence": json.loads(row["evidence"])} for row in rows]


def test_a_model_without_a_price_is_one_alert_with_its_fix_and_ends_once_it_has_one(
    built: Settings, client: Client, now: datetime
) -> None:
    """Three tenants and two templates, one missing price. A price is noted, and new calls have it."""
    priced: Mapping[str, Any] = {"provider": "anthropic", "cost_usd": 0.006, "cost_status": "priced"}
    calls(client, now - minutes(60), now + minutes(180), minutes(1), **priced, model="claude-sonnet-4-5")
    moment = now
    for until in (now + minutes(16), now + minutes(30)):
        for n, tenant in enumerate(("org_1", "org_2", "org_3")):
            calls(client, moment, until, minutes(2), tenant_id=tenant, prompt_template_version=f"rag-{n % 2}")
        moments = [now + minutes(n) for n in (8, 16, 20, 24, 30) if moment < now + minutes(n) <= until]
        ticks = watch(client, *moments)
        # Noted again every five minutes.
        assert [len(tick.opened) for tick in ticks] == ([0, 1] if until < now + minutes(30) else [0, 0, 0])
        assert [len(tick.updated) for tick in ticks] == ([0, 0] if until < now + minutes(30) else [0, 1, 1])
        moment = until
    (opened,) = [e for e in events(client) if e["event"] == "opened"]
    assert (opened["level"], opened["rule"], opened["tenant_id"]) == ("investigate", "unpriced-new", "")
    assert (opened["scope"], opened["model"]) == ("model", "acme-large")
    assert opened["summary"] == (
        "acme/acme-large: 24 calls with 28,800 tokens without a price in 60 min "
        "(no such calls before): no price list of provider acme"
    )
    assert opened["evidence"]["tenants"] == {"org_1": 8, "org_2": 8, "org_3": 8}

    # The price is there: the same model's calls cost something, those before it wait for a repricing.
    calls(client, now + minutes(30), now + minutes(180), minutes(2), cost_usd=0.001, cost_status="priced")
    ticks = watch(client, *(now + minutes(n) for n in range(40, 85, 10)))
    assert not [tick for tick in ticks if tick.opened]
    resolutions = [tick.end - now for tick in ticks if tick.resolved]
    assert len(resolutions) == 1
    assert minutes(50) <= resolutions[0] <= minutes(71)
    (alert,) = alerts.current(client, "1", {})
    assert (alert.status, alert.resolved_by) == ("resolved", "assay")

    told = [message(event, built) for _, event in pending(client, now + minutes(90))]
    assert [m["blocks"][0]["text"]["text"] for m in told] == [
        "Investigate · no price · acme/acme-large",
        "Resolved: investigate · no price · acme/acme-large",
    ]
    said = json.dumps(told[0], ensure_ascii=False)
    day = now.date().isoformat()
    for part in (
        "24 of 24 calls (100%)",
        "28,800",
        "no price list of provider acme (24)",
        "org_1 (8), org_2 (8), org_3 (8)",
        f"assay prices add --provider acme --model acme-large --class input --price USD --from {day}",
        f"assay prices add --provider acme --model acme-large --class output --price USD --from {day}",
        f"assay reprice --from {day} --to {(now + timedelta(days=1)).date()}",
    ):
        assert part in said
    assert "of the last" in told[1]["text"]


def test_what_is_no_real_volume_or_no_growth_stays_silent(client: Client, now: datetime) -> None:
    """A burst of retries, a trickle, a model that has been without a price all week, no traffic at all."""
    calls(client, now, now + minutes(2), timedelta(seconds=2), model="misspelled")
    calls(client, now, now + minutes(60), minutes(4), model="tried")
    for days in range(8):
        day = now - timedelta(days=days)
        # The daily peak is the measure: an hour at noon with ten times the calls of the night.
        calls(client, day - timedelta(hours=4), day, minutes(10), model="own")
        calls(client, day, day + minutes(55), minutes(1), model="own")
    assert not [tick for tick in watch(client, *(now + minutes(n) for n in (15, 30, 50))) if tick.opened]
    assert events(client) == []


def test_growth_opens_and_a_past_that_was_mended_is_no_measure(client: Client, now: datetime) -> None:
    """Three times the calls of every hour before; and a price that expires again after it was noted."""
    start = now - timedelta(days=2)
    calls(client, start, now, minutes(2), model="own")
    calls(client, now, now + minutes(40), timedelta(seconds=30), model="own")
    # Without a price for a day, then with one, now without again, at the same volume.
    calls(client, start, start + timedelta(days=1), minutes(2), model="lapsed")
    calls(
        client,
        start + timedelta(days=1),
        now,
        minutes(2),
        model="lapsed",
        cost_usd=0.001,
        cost_status="priced",
    )
    calls(client, now, now + minutes(50), minutes(2), model="lapsed")
    mended = alerts.Event(
        "a1", "opened", start + minutes(50), "", "investigate", "unpriced-new", "model", "lapsed", "",
        "production", "", {"provider": "acme", "name": "acme/lapsed"},
    )  # fmt: skip
    resolved = alerts.Event(**{**vars(mended), "event": "resolved", "occurred_at": start + timedelta(days=1)})
    alerts.write(client, [mended, resolved])
    watch(client, now, now + minutes(39), now + minutes(50))
    found = {
        (e["model"], e["rule"]) for e in events(client) if e["event"] == "opened" and e["alert_id"] != "a1"
    }
    assert found == {("own", "unpriced-growth"), ("lapsed", "unpriced-new")}


def test_resolved_by_hand_keeps_silent_and_a_model_that_is_given_up_is_forgotten(
    client: Client, now: datetime
) -> None:
    calls(client, now, now + minutes(30), minutes(1), model="accepted")
    calls(client, now, now + minutes(30), minutes(1), model="given-up")
    watch(client, now + minutes(29))
    by_model = {e["model"]: e["alert_id"] for e in events(client)}
    assert set(by_model) == {"accepted", "given-up"}
    alert = alerts.current(client, "alert_id = {id:String}", {"id": by_model["accepted"]})[0]
    alerts.write(client, [alert.event("resolved", now + minutes(31), actor="kim")])
    calls(client, now + minutes(30), now + timedelta(hours=26), minutes(1), model="accepted")
    ticks = watch(client, *(now + minutes(n) for n in (40, 95, 180)), now + timedelta(hours=23))
    assert not [tick for tick in ticks if tick.opened or tick.resolved]
    (last,) = watch(client, now + timedelta(hours=25))
    assert last.resolved == (by_model["given-up"],)
    assert not last.opened
