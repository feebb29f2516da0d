"""Chargeback: months of the tenant's zone, shared costs to the last pico-dollar."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.charges import charged
from tests.support.days import insert

PICO = Decimal("1e-12")


def charges(settings: Settings) -> dict[tuple[date, str], dict[str, Any]]:
    with connect(settings) as client:
        rows = client.query("SELECT * FROM chargeback_monthly").named_results()
        return {(r["month"], r["tenant_id"]): r for r in rows}


def spent(tenant: str, usd: Decimal, at: datetime, name: str = "") -> dict[str, Any]:
    return charged(0, tenant_id=tenant, cost_usd=usd, timestamp=at, trace_id=f"{tenant}-{at:%d%H%M}{name}")


def test_a_month_is_that_of_the_tenants_zone(built: Settings) -> None:
    zones = {
        "org_utc": "UTC",
        "org_in": "Asia/Kolkata",
        "org_np": "Asia/Kathmandu",
        "org_us": "America/New_York",
    }
    insert(
        built,
        "tenants",
        [
            {"tenant_id": t, "name": t.upper(), "time_zone": z, "cost_centre": f"CC-{t}"}
            for t, z in zones.items()
        ],
    )
    # Around both ends of November 2025 in UTC, a quarter of an hour apart.
    times = [
        datetime(2025, month, day, hour, minute, tzinfo=UTC)
        for month, day in ((10, 31), (11, 1), (11, 30), (12, 1))
        for hour in (0, 4, 5, 18, 23)
        for minute in (0, 14, 15, 29, 30, 44, 45, 59)
    ]
    calls = [spent(t, Decimal(n + 1) / 1000, at) for t in [*zones, "org_none"] for n, at in enumerate(times)]
    insert(built, "llm_traces", calls)
    wanted: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for call in calls:
        local = call["timestamp"].astimezone(ZoneInfo(zones.get(call["tenant_id"], "UTC")))
        wanted[local.date().replace(day=1), call["tenant_id"]] += call["cost_usd"]
    found = charges(built)
    assert {key: row["direct_usd"] for key, row in found.items()} == wanted
    assert {row["total_usd"] - row["direct_usd"] for row in found.values()} == {0}
    row = found[date(2025, 11, 1), "org_in"]
    assert (row["tenant_name"], row["cost_centre"], row["time_zone"]) == (
        "ORG_IN",
        "CC-org_in",
        "Asia/Kolkata",
    )
    assert found[date(2025, 11, 1), "org_none"]["time_zone"] == "UTC"


def test_a_zone_that_does_not_exist_counts_as_utc(built: Settings) -> None:
    insert(built, "tenants", [{"tenant_id": "org_1", "name": "", "time_zone": "Mars/Olympus"}])
    insert(built, "llm_traces", [spent("org_1", Decimal(1), datetime(2025, 11, 1, tzinfo=UTC))])
    ((key, row),) = charges(built).items()
    assert (key, row["time_zone"]) == ((date(2025, 11, 1), "org_1"), "UTC")


amounts = st.integers(1, 10**16)


@given(
    direct=st.lists(amounts, max_size=6),
    judge=st.none() | amounts,
    untagged=st.none() | amounts,
)
@hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_shared_costs_are_shared_out_whole(
    built: Settings, direct: list[int], judge: int | None, untagged: int | None
) -> None:
    with connect(built) as client:
        for table in ("llm_traces", "llm_spend_15min"):
            client.command(f"TRUNCATE TABLE {table}")
    spenders = {f"org_{n}": pico for n, pico in enumerate(direct)}
    pools = {t: p for t, p in (("assay", judge), ("default", untagged)) if p is not None}
    at = datetime(2025, 11, 11, tzinfo=UTC)
    if not (rows := [spent(t, p * PICO, at) for t, p in (spenders | pools).items()]):
        return
    insert(built, "llm_traces", rows)
    found = {tenant: row for (_, tenant), row in charges(built).items()}
    assert sum(r["total_usd"] for r in found.values()) == sum((spenders | pools).values()) * PICO
    for name, tenant in (("judge_usd", "assay"), ("untagged_usd", "default")):
        pool = pools.get(tenant, 0)
        assert sum(r[name] for r in found.values()) == 0 or tenant not in pools
        for spender, pico in spenders.items():
            # Largest remainder: never a pico-dollar or more away from the exact share.
            exact = Decimal(pool * pico) / Decimal(sum(direct))
            assert abs(found[spender][name] / PICO - exact) < 1
    for tenant, pico in pools.items():
        assert found[tenant]["total_usd"] == (0 if spenders else pico * PICO)


def test_a_tenant_without_any_price_is_unknown_and_bears_nothing(built: Settings) -> None:
    at = datetime(2025, 11, 11, tzinfo=UTC)
    unpriced = charged(1, tenant_id="org_2", timestamp=at, cost_usd=None, cost_status="unpriced")
    insert(built, "llm_traces", [spent("org_1", Decimal(1), at), spent("assay", Decimal(1), at), unpriced])
    found = {tenant: row for (_, tenant), row in charges(built).items()}
    assert found["org_1"]["total_usd"] == 2
    assert (found["org_2"]["direct_usd"], found["org_2"]["total_usd"]) == (None, None)
    assert (found["org_2"]["unpriced_count"], found["org_2"]["judge_usd"]) == (1, 0)
