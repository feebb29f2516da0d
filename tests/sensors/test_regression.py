"""The detector on a real store: stories of traffic, minute by minute, and the alerts that must follow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from clickhouse_connect.driver.client import Client

from sensors import alerts, regression
from sensors.alerts import Alert
from sensors.judgement import Judgement
from sensors.policy import Policy, load
from tests.support.llm_traffic import Stream, write

Prepare = Callable[[Sequence[Stream]], None]
POLICY = load()
SETTLE = timedelta(seconds=POLICY.timing.settle_seconds)

RAG = Stream(tenant_id="org_1", template="rag-v1")
CHAT = Stream(tenant_id="org_1", template="chat-v2", cost_usd=0.01, quality=0.7)


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def watch(
    client: Client, start: datetime, count: int, policy: Policy = POLICY, *, step: int = 1
) -> list[regression.Tick]:
    """A tick at every ``step``-th minute from ``start`` on."""
    return [regression.tick(client, policy, start + minutes(n) + SETTLE) for n in range(0, count, step)]


def events(client: Client, **where: str) -> list[dict[str, Any]]:
    condition = " AND ".join(f"{name} = {{{name}:String}}" for name in where) or "1"
    rows = client.query(
        f"SELECT * FROM alerts WHERE {condition} ORDER BY occurred_at, event_id",
        parameters=where,
        tz_mode="aware",
    ).named_results()
    return [{**row, "evidence": json.loads(row["evidence"])} for row in rows]


def test_a_silent_model_move_is_one_page_and_ends(client: Client, now: datetime, with_past: Prepare) -> None:
    """Cost × 3 and quality × 0.6 on one of two templates, by a model that has no past anywhere."""
    with_past([RAG, CHAT])
    end = now + minutes(25)
    client.insert(
        "deployments",
        [[now - minutes(3), "org_1", "", "rag-v1", "2024.5", "cheaper retries"]],
        column_names=["timestamp", "tenant_id", "model", "prompt_template_version", "version", "description"],
    )
    write(client, RAG.but(model="large", cost_usd=0.006, quality=0.51), now, end)
    write(client, CHAT, now, end)
    quiet = watch(client, now - minutes(10), 10, step=3)
    assert not [t for t in quiet if t.opened]
    assert quiet[0].series == 4  # two templates, one model, the tenant
    assert quiet[0].baseline_as_of == now.date()

    ticks = watch(client, now, 22)
    opened = events(client, event="opened")
    assert [e["tenant_id"] for e in opened] == ["org_1"]
    page = opened[0]
    assert page["level"] == "page"
    assert (page["scope"], page["model"], page["prompt_template_version"]) == ("template", "", "rag-v1")
    assert page["occurred_at"] - now <= minutes(6)
    evidence = page["evidence"]
    assert 2.0 < evidence["cost_ratio"] < 3.5
    assert 0.5 < evidence["quality_ratio"] < 0.8
    assert evidence["baseline_of"] == "itself"
    assert "model large" in evidence["also_firing"]
    assert evidence["baseline_as_of"] == now.date().isoformat()
    assert evidence["requests"] >= 20
    changes = evidence["diagnosis"]["changes"]
    assert "deployment of rag-v1 2024.5" in changes[0]
    assert any("model large went from 0% to" in change for change in changes)

    last = alerts.current(client, "1", {})[0]
    assert (last.status, last.scope, last.prompt_template_version) == ("open", "template", "rag-v1")
    assert {e["alert_id"] for e in events(client)} == {page["alert_id"]}
    updates = [t for t in ticks if t.updated]
    assert 2 <= len(updates) <= 4  # every five minutes, not every tick

    # Rolled back: quiet for as long as the policy asks, then resolved once, and not opened by its own tail.
    for stream in (RAG, CHAT):
        write(client, stream, end, end + minutes(75), seed=5)
    after = watch(client, end, 75, step=3)
    assert [t.resolved for t in after if t.resolved] == [(page["alert_id"],)]
    assert not [t for t in after if t.opened or t.upgraded]
    (resolved,) = events(client, event="resolved")
    assert resolved["occurred_at"] - end >= minutes(POLICY.timing.quiet_minutes)


def test_held_open_without_a_finding_it_keeps_what_was_measured(now: datetime) -> None:
    key = ("org_1", "production")
    alert = Alert(
        alert_id="a",
        tenant_id=key[0],
        cohort=key[1],
        level="page",
        rule="dual-cost-led",
        scope="template",
        model="",
        prompt_template_version="rag-v1",
        summary="cost × 3",
        status="open",
        opened_at=now - minutes(30),
        last_seen_at=now - minutes(20),
        resolved_at=None,
        resolved_by="",
        evidence='{"cost_ratio": 3.1}',
    )
    holding = Judgement(
        series=1,
        cost_states={},
        quality_states={},
        findings={},
        holding=frozenset({key}),
        present=frozenset({key}),
        quiet_by_cost=frozenset(),
        quiet_by_both=frozenset(),
        rules={},
    )
    # Of the readings it needs to know how far they reach.
    readings = SimpleNamespace(end=now)
    (event,) = regression.plan(holding, readings, POLICY, [alert], now)
    assert (event.event, event.evidence) == ("updated", {"cost_ratio": 3.1})


def test_a_repeated_tick_writes_nothing(client: Client, now: datetime, with_past: Prepare) -> None:
    with_past([RAG])
    write(client, RAG.but(cost_usd=0.006, quality=0.4), now, now + minutes(20))
    watch(client, now + minutes(4), 4)
    before = events(client)
    assert [e["event"] for e in before].count("opened") == 1
    at = now + minutes(7) + SETTLE
    again = regression.tick(client, POLICY, at)
    assert (again.opened, again.updated, again.upgraded, again.resolved) == ((), (), (), ())
    assert events(client) == before
    # Nor where the state was lost between deciding and writing: the same event is the same block.
    stored = before[0]
    event = alerts.Event(
        **{name: stored[name] for name in alerts.Event.__dataclass_fields__ if name in stored}
    )
    assert event.event_id == stored["event_id"]
    alerts.write(client, [event])
    assert len(events(client)) == len(before)


def test_benign_changes_do_not_page(client: Client, now: datetime, with_past: Prepare) -> None:
    """A cheaper model, a dearer and better one, a surge, a blip of three minutes."""
    cheaper, better, surge, blip = (Stream(tenant_id=f"org_{n}") for n in range(4))
    with_past([cheaper, better, surge, blip])
    end = now + minutes(30)
    write(client, cheaper.but(model="tiny", cost_usd=0.0006), now, end)
    write(client, better.but(model="large", cost_usd=0.004, quality=0.93), now, end)
    write(client, surge.but(per_minute=50), now, end)
    write(client, blip.but(cost_usd=0.01, quality=0.3), now, now + minutes(3))
    write(client, blip, now + minutes(3), end)
    watch(client, now + minutes(1), 20)
    assert [(e["tenant_id"], e["level"], e["rule"]) for e in events(client, event="opened")] == [
        ("org_1", "investigate", "cost-spike")
    ]


def test_a_shift_of_mix_between_unchanged_templates_moves_nothing(
    client: Client, now: datetime, with_past: Prepare
) -> None:
    """Simpson: the tenant's medians get five times as dear and far worse, while no template changes."""
    hard = Stream(tenant_id="org_1", template="hard", cost_usd=0.01, quality=0.5, per_minute=4)
    easy = Stream(tenant_id="org_1", template="easy", cost_usd=0.002, quality=0.9, per_minute=16)
    with_past([hard, easy])
    end = now + minutes(70)
    write(client, hard.but(per_minute=16), now, end)
    write(client, easy.but(per_minute=4), now, end)
    watch(client, now + minutes(2), 68, step=6)
    assert events(client) == []
    # Compared as a whole, as the literal rules do, it looks like the worst of incidents.
    naive = POLICY.model_copy(update={"like_for_like": False, "scopes": ("tenant",)})
    watch(client, now + minutes(50), 2, naive)
    assert [e["level"] for e in events(client, event="opened")] == ["page"]


def test_an_experiment_never_pages(client: Client, now: datetime, with_past: Prepare) -> None:
    with_past([RAG])
    end = now + minutes(20)
    write(client, RAG, now, end)
    write(client, RAG.but(experiment_id="e1", model="large", cost_usd=0.006, quality=0.4), now, end)
    watch(client, now + minutes(3), 15, step=2)
    opened = events(client, event="opened")
    assert [(e["cohort"], e["level"]) for e in opened] == [("experiment", "investigate")]
    # The experiment ends; an alert about traffic that no longer exists does not stay open.
    write(client, RAG, end, end + minutes(150), seed=3)
    watch(client, end + minutes(60), 75, step=5)
    assert [e["cohort"] for e in events(client, event="resolved")] == ["experiment"]


def test_two_requests_an_hour_are_not_enough_data(client: Client, now: datetime, with_past: Prepare) -> None:
    slow = Stream(tenant_id="slow", per_minute=2 / 60)
    with_past([slow.but(per_minute=1)])
    write(client, slow.but(cost_usd=0.02, quality=0.1), now, now + minutes(180), seed=4)
    ticks = watch(client, now + minutes(70), 110, step=10)
    assert events(client) == []
    assert {t.cost_states["not_enough_data"] for t in ticks[1:]} == {3}
    assert {t.cost_states["known"] for t in ticks[1:]} == {0}


def test_without_a_past_everything_is_cold(client: Client, now: datetime) -> None:
    write(client, RAG, now - minutes(60), now)
    (tick,) = watch(client, now, 1)
    assert tick.baseline_as_of is None
    assert tick.cost_states == {"no_data": 0, "not_enough_data": 0, "cold": 3, "known": 0}
    assert events(client) == []


def test_an_empty_store_is_no_error(client: Client, now: datetime) -> None:
    (tick,) = watch(client, now, 1)
    assert tick.series == 0


def test_baselines_of_yesterday_still_serve_and_older_ones_do_not(
    client: Client, now: datetime, with_past: Prepare
) -> None:
    with_past([RAG])
    for days, usable in ((1, True), (2, True), (3, False)):
        write(client, RAG, now + timedelta(days=days) - minutes(10), now + timedelta(days=days))
        tick = regression.tick(client, POLICY, now + timedelta(days=days) + SETTLE)
        assert (tick.baseline_as_of == now.date()) is usable, days
        assert (tick.cost_states["cold"] == 0) is usable, days


def test_no_data_does_not_resolve(client: Client, now: datetime, with_past: Prepare) -> None:
    with_past([RAG])
    write(client, RAG.but(cost_usd=0.006, quality=0.4), now, now + minutes(15))
    watch(client, now + minutes(3), 12, step=3)
    watch(client, now + minutes(15), 120, step=10)
    assert events(client, event="resolved") == []
    assert alerts.current(client, "1", {})[0].status == "open"


def test_scores_that_come_late_count_when_they_come(
    client: Client, now: datetime, with_past: Prepare
) -> None:
    """A judge that is eight minutes behind: only cost is known first, then both."""
    with_past([RAG])
    bad = RAG.but(cost_usd=0.006, quality=0.4, judge_delay_s=480)
    write(client, bad, now, now + minutes(30))
    ticks = watch(client, now + minutes(4), 16)
    opened, upgraded = events(client, event="opened"), events(client, event="upgraded")
    assert [e["level"] for e in opened] == ["investigate"]
    assert [e["level"] for e in upgraded] == ["page"]
    assert upgraded[0]["occurred_at"] - now >= minutes(8)
    assert [t.upgraded for t in ticks if t.upgraded] == [(opened[0]["alert_id"],)]
    assert alerts.current(client, "1", {})[0].level == "page"


def test_calls_that_come_late_are_judged_in_their_minute(
    client: Client, now: datetime, with_past: Prepare
) -> None:
    """The writer was down for ten minutes: the ticks see nothing, then the minutes fill up."""
    with_past([RAG])
    assert not [t for t in watch(client, now, 10) if t.opened]
    write(client, RAG.but(cost_usd=0.006, quality=0.4), now, now + minutes(10))
    (tick,) = watch(client, now + minutes(10), 1)
    assert len(tick.opened) == 1


def test_scores_of_old_calls_say_nothing_about_now(client: Client, now: datetime, with_past: Prepare) -> None:
    with_past([RAG])
    write(client, RAG, now, now + minutes(20))
    old = RAG.but(quality=0.1, judge_delay_s=7200, per_minute=30)
    write(client, old, now - timedelta(hours=2), now - timedelta(hours=2) + minutes(20), seed=9)
    watch(client, now + minutes(5), 15, step=3)
    assert events(client) == []


def test_another_evaluator_is_not_mixed_in(client: Client, now: datetime, with_past: Prepare) -> None:
    """A stricter evaluator runs beside the judge, scores everything, and has no past."""
    with_past([RAG])
    end = now + minutes(20)
    write(client, RAG.but(judged=0.5), now, end)
    write(client, RAG.but(evaluator="strict", quality=0.2, per_minute=20), now, end, seed=3)
    watch(client, now + minutes(5), 15, step=3)
    assert events(client) == []


def test_resolved_by_hand_means_silence_for_a_while(
    client: Client, now: datetime, with_past: Prepare
) -> None:
    with_past([RAG])
    write(client, RAG.but(cost_usd=0.006, quality=0.4), now, now + minutes(120))
    watch(client, now + minutes(4), 4)
    (alert,) = alerts.current(client, "status = 'open'", {})
    at = now + minutes(10)
    alerts.write(client, [alert.event("resolved", at, actor="kim")])
    watch(client, at, POLICY.timing.cooldown_minutes, step=10)
    assert len(events(client, event="opened")) == 1
    watch(client, at + minutes(POLICY.timing.cooldown_minutes + 1), 10, step=5)
    assert len(events(client, event="opened")) == 2


def test_a_new_version_is_compared_with_its_family(client: Client, now: datetime, with_past: Prepare) -> None:
    with_past([RAG])
    write(client, RAG.but(template="rag-v2", cost_usd=0.006, quality=0.4), now, now + minutes(15))
    watch(client, now + minutes(3), 12)
    (opened,) = events(client, event="opened")
    assert opened["evidence"]["baseline_of"] == "its template's family"
    assert opened["prompt_template_version"] == "rag-v2"


def test_a_tenant_with_a_policy_of_its_own(client: Client, now: datetime, with_past: Prepare) -> None:
    lax, normal = Stream(tenant_id="lax"), Stream(tenant_id="normal")
    with_past([lax, normal])
    for stream in (lax, normal):
        write(client, stream.but(quality=0.55), now, now + minutes(20))
    own = {"lax": {"rules": {"severe-quality": {"quality_ratio_below": 0.5}}}}
    policy = Policy.model_validate({**POLICY.model_dump(), "tenants": own})
    watch(client, now + minutes(4), 16, policy, step=3)
    assert [e["tenant_id"] for e in events(client, event="opened")] == ["normal"]


def test_the_literal_policy_compares_z_with_the_week_before(
    client: Client, now: datetime, with_past: Prepare
) -> None:
    """Dear at the same hour a week ago: no z, although twice the baseline."""
    literal = load(name="literal")
    with_past([RAG])
    write(client, RAG.but(cost_usd=0.004), now, now + minutes(20))
    spiked = watch(client, now + minutes(18), 1, literal)
    assert len(spiked[0].opened) == 1
    client.command("TRUNCATE TABLE alerts")
    ago = now - timedelta(days=7)
    write(client, RAG.but(cost_usd=0.004, per_minute=60), ago - minutes(5), ago + minutes(25), seed=8)
    assert watch(client, now + minutes(18), 1, literal)[0].opened == ()
