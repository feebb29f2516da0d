"""What people do with alerts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from clickhouse_connect.driver.client import Client

from sensors import alerts
from sensors.alerts import Event, UnknownAlertError

AT = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def opened(alert_id: str = "a1") -> Event:
    return Event(
        alert_id, "opened", AT, "org_1", "page", "dual-cost-led", "template", "", "rag-v1", "production",
        "cost × 3", {"cost_ratio": 3.0},
    )  # fmt: skip


def test_acknowledged_once_however_often(client: Client) -> None:
    alerts.write(client, [opened()])
    for _ in range(3):
        alerts.acknowledge(client, "a1", by="kim")
    row = client.query("SELECT status, acknowledged_by, level, summary FROM alerts_current").first_item
    assert row == {"status": "acknowledged", "acknowledged_by": "kim", "level": "page", "summary": "cost × 3"}
    assert client.query("SELECT count() FROM alerts").first_item["count()"] == 2


def test_resolved_by_hand(client: Client) -> None:
    alerts.write(client, [opened()])
    alerts.resolve(client, "a1", by="kim")
    (alert,) = alerts.current(client, "1", {})
    assert (alert.status, alert.resolved_by, alert.opened_at) == ("resolved", "kim", AT)
    with pytest.raises(UnknownAlertError, match=r"alert 'a1' was resolved at .* UTC by kim"):
        alerts.resolve(client, "a1", by="lee")
    with pytest.raises(UnknownAlertError, match="was resolved"):
        alerts.acknowledge(client, "a1", by="lee")


def test_an_unknown_alert_is_named(client: Client) -> None:
    with pytest.raises(UnknownAlertError, match="no alert 'zz'; list them: assay alerts list --all"):
        alerts.acknowledge(client, "zz", by="kim")


def test_ids_follow_from_what_is_said() -> None:
    assert opened().event_id == opened().event_id
    assert opened("a2").event_id != opened().event_id
    # Parts do not run into one another.
    assert alerts.digest("ab", "c") != alerts.digest("a", "bc")


def test_the_same_event_is_stored_once(client: Client) -> None:
    for _ in range(3):
        alerts.write(client, [opened(), opened("a2")])
    assert client.query("SELECT count() FROM alerts").first_item["count()"] == 2
