"""Outcomes, sessions, users and reactions on a real store: whichever record arrives first."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.charges import OCTOBER, charged
from tests.support.days import insert

CALLS = [
    charged(
        n,
        timestamp=OCTOBER + timedelta(minutes=n),
        trace_id=f"trace-{n // 2}",
        span_id=f"span-{n}",
        session_id=f"session-{n // 10}",
        user_id=f"user-{n // 20}",
        task_type="summarise" if n % 2 else "",
        tenant_id="org_1",
        prompt_template_version="rag-v1",
    )
    for n in range(40)
]
COST = sum((c["cost_usd"] for c in CALLS), Decimal(0))
OUTCOMES = [
    {"trace_id": trace, "user_id": user, "event": event, "value": Decimal(9), "timestamp": OCTOBER}
    for trace, user, event in (
        ("trace-1", "", "conversion"),
        ("trace-1", "", "escalation"),
        ("trace-2", "", "escalation"),
        ("", "user-1", "renewal"),
    )
]


def one(settings: Settings, mart: str) -> dict[str, Any]:
    with connect(settings) as client:
        (row,) = client.query(f"SELECT * FROM {mart}").named_results()
    return dict(row)


@pytest.mark.parametrize("order", ["outcomes first", "calls first"])
def test_the_order_of_arrival_does_not_matter(built: Settings, order: str) -> None:
    tables = [("business_outcomes", OUTCOMES), ("llm_traces", CALLS)]
    for table, rows in tables if order == "outcomes first" else reversed(tables):
        insert(built, table, rows)
    rates = one(built, "outcome_rates_daily")
    assert (rates["trace_count"], rates["converted_count"], rates["escalated_count"]) == (20, 1, 2)
    assert (rates["conversion_rate"], rates["escalation_rate"]) == (0.05, 0.1)
    assert rates["cost_per_conversion_usd"] == rates["cost_usd"] == COST
    with connect(built) as client:
        found = client.query(
            "SELECT user_id, last_signal, signal_count, request_count FROM user_retention ORDER BY user_id"
        ).result_rows
    assert found == [("user-0", "", 0, 20), ("user-1", "renewal", 1, 20)]


def two_tenants() -> list[dict[str, Any]]:
    """Calls of two tenants with equal ids of traces and users; the second's last has no price."""
    unpriced = {"cost_usd": None, "cost_status": "unpriced"}
    return [
        charged(
            n,
            timestamp=OCTOBER + timedelta(minutes=n),
            trace_id=f"trace-{n % 4}",
            span_id=f"span-{n}",
            session_id=f"session-{n % 4}",
            user_id="anna",
            tenant_id=f"org_{1 + n // 4}",
            prompt_template_version="rag-v1",
            **(unpriced if n == 7 else {}),
        )
        for n in range(8)
    ]


def outcome(trace: str, user: str = "", *, tenant: str = "", event: str = "conversion") -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "trace_id": trace,
        "user_id": user,
        "event": event,
        "value": Decimal(9),
        "timestamp": OCTOBER,
    }


def several(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with connect(settings) as client:
        return [tuple(row) for row in client.query(sql).result_rows]


RATES = (
    "SELECT tenant_id, sum(trace_count), sum(converted_count), sum(escalated_count), sum(request_count), "
    "sum(unpriced_count) FROM outcome_rates_daily GROUP BY tenant_id ORDER BY tenant_id"
)
SIGNALS = "SELECT tenant_id, user_id, last_signal, signal_count FROM user_retention ORDER BY tenant_id"
NOBODYS = "SELECT event, reason, outcome_count FROM outcomes_unattributed_daily ORDER BY event, reason"


@pytest.mark.parametrize("order", ["outcomes first", "calls first"])
def test_equal_ids_of_two_tenants_are_two_traces_and_two_users(built: Settings, order: str) -> None:
    outcomes = [
        outcome("trace-0", tenant="org_1"),
        outcome("trace-0", tenant="org_2", event="escalation"),
        outcome("", "anna", tenant="org_2", event="renewal"),
        # Nobody's: both have them.
        outcome("trace-1"),
        outcome("", "anna", event="churn"),
        outcome("nowhere", event="escalation"),
    ]
    tables = [("business_outcomes", outcomes), ("llm_traces", two_tenants())]
    for table, rows in tables if order == "outcomes first" else reversed(tables):
        insert(built, table, rows)
    assert several(built, RATES) == [("org_1", 4, 1, 0, 4, 0), ("org_2", 4, 0, 1, 4, 1)]
    assert several(built, SIGNALS) == [("org_1", "anna", "", 0), ("org_2", "anna", "renewal", 1)]
    daily = "SELECT tenant_id, event, outcome_count, unpriced_count FROM outcomes_daily ORDER BY tenant_id"
    assert several(built, daily) == [("org_1", "conversion", 1, 0), ("org_2", "escalation", 1, 1)]
    sessions = "SELECT tenant_id, request_count, unpriced_count FROM session_costs_daily ORDER BY tenant_id"
    assert several(built, sessions) == [("org_1", 4, 0), ("org_2", 4, 1)]
    assert several(built, NOBODYS) == [
        ("churn", "shared user", 1),
        ("conversion", "shared trace", 1),
        ("escalation", "unknown trace", 1),
    ]


def test_an_outcome_without_a_tenant_is_the_only_ones_and_counts_once(built: Settings) -> None:
    calls = two_tenants()
    insert(built, "llm_traces", calls[:4])
    insert(built, "business_outcomes", [outcome("trace-1"), outcome("", "anna", event="churn")])
    assert several(built, RATES) == [("org_1", 4, 1, 0, 4, 0)]
    assert several(built, SIGNALS) == [("org_1", "anna", "churn", 1)]
    assert several(built, NOBODYS) == []
    # A second tenant has them, too: now it cannot be told.
    insert(built, "llm_traces", calls[4:])
    assert [row[2] for row in several(built, RATES)] == [0, 0]
    assert [row[3] for row in several(built, SIGNALS)] == [0, 0]
    assert several(built, NOBODYS) == [("churn", "shared user", 1), ("conversion", "shared trace", 1)]
    # The sender tells it again, with the tenant: it is one outcome, not two.
    insert(built, "business_outcomes", [outcome("trace-1", tenant="org_2")])
    assert [row[2] for row in several(built, RATES)] == [0, 1]
    assert several(built, NOBODYS) == [("churn", "shared user", 1)]


def test_a_call_that_was_corrected_away_costs_no_session(built: Settings) -> None:
    insert(built, "llm_traces", CALLS)
    insert(built, "llm_traces", [CALLS[39] | {"sign": -1}])
    sessions = one(built, "session_costs_daily")
    kept = COST - CALLS[39]["cost_usd"]
    assert (sessions["session_count"], sessions["request_count"], sessions["cost_usd"]) == (4, 39, kept)
    assert abs(sessions["cost_per_session_usd"] - kept / 4) < Decimal("1e-11")


def test_normalized_cost_at_every_grain(built: Settings) -> None:
    insert(built, "llm_traces", CALLS)
    insert(
        built,
        "task_times",
        [
            {
                "task_type": kind,
                "human_minutes": minutes,
                "source": "study",
                "timestamp": OCTOBER + timedelta(n),
            }
            for kind, minutes, times in (("summarise", 30.0, 3), ("other", 10.0, 9), ("third", 20.0, 1))
            for n in range(times)
        ],
    )
    known = sum((c["cost_usd"] for c in CALLS if c["task_type"]), Decimal(0))
    for grain in ("minutely", "hourly", "daily"):
        with connect(built) as client:
            rows = client.query(
                "SELECT task_type, sum(normalized_cost_usd), any(task_complexity), any(complexity_source), "
                f"any(complexity_samples) FROM normalized_cost_{grain} GROUP BY task_type ORDER BY task_type"
            ).result_rows
        (unknown, total), (timed, cost) = rows[0][:2], rows[1][:2]
        assert (unknown, total, *rows[0][2:]) == ("", None, None, "none", 0)
        assert (timed, *rows[1][2:]) == ("summarise", Decimal("1.5"), "human-time", 3)
        assert abs(cost - known / Decimal("1.5")) < Decimal("1e-9")


def test_a_template_that_is_not_cached_shows_what_that_costs(built: Settings) -> None:
    """Rates come from all calls of the model: another tenant of it does read from the cache."""
    silent = [
        charged(
            n,
            trace_id=f"s-{n}",
            tenant_id="org_2",
            cached_tokens=0,
            cache_write_tokens=0,
            cache_write_1h_tokens=0,
        )
        for n in range(48, 72)
        if n % 4
    ]
    insert(built, "llm_traces", [*(charged(n, tenant_id="org_1") for n in range(48)), *silent])
    with connect(built) as client:
        rows = client.query(
            "SELECT sum(missed_cached_tokens), sum(missed_discount_usd), min(is_below_floor) "
            "FROM cache_efficiency WHERE tenant_id = 'org_2'"
        ).result_rows
    prompt = sum(c["prompt_tokens"] for c in silent)
    ((missed, usd, below),) = rows
    assert below == 1
    assert 0 <= missed - prompt * 0.3 < 3
    assert usd == missed * Decimal("0.0000027")
