"""The demo's incident: one alert, one message, seen on the screen."""

from __future__ import annotations

from pathlib import Path

import httpx
from playwright.sync_api import expect, sync_playwright

from tests.support.browser import chromium
from tests.support.instance import Instance
from tests.support.processes import REPOSITORY

# Two minutes from the start of the live traffic to the incident, and what it takes to see it.
_INCIDENT_S = 300


def _alerts(demo: Instance) -> list[dict[str, str]]:
    found: list[dict[str, str]] = demo.json("alerts", "list", "--all", "--json")["alerts"]
    return [alert for alert in found if alert["level"] == "page"]


def test_incident_opens_one_alert_reaches_the_webhook_and_the_screen(demo: Instance) -> None:
    demo.wait_for(lambda: _alerts(demo), "a page", _INCIDENT_S)
    (alert,) = _alerts(demo)

    def told() -> bool:
        messages = httpx.get(f"{demo.url('WEBHOOK_SINK')}/messages", timeout=10, trust_env=False).text
        return alert["alert_id"] in messages or alert["tenant_id"] in messages

    demo.wait_for(told, "a message in the webhook sink", 60)

    screenshot = REPOSITORY / "artifacts" / "demo-incident.png"
    Path(screenshot).parent.mkdir(exist_ok=True)
    with sync_playwright() as playwright, chromium(playwright) as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(demo.url("DASHBOARD"))
        expect(page.get_by_text(alert["tenant_id"]).first).to_be_visible(timeout=30_000)
        expect(page.get_by_text("simulated", exact=False).first).to_be_visible(timeout=30_000)
        page.wait_for_timeout(3000)
        page.screenshot(path=str(screenshot), full_page=True)
    (still,) = _alerts(demo)
    assert still["alert_id"] == alert["alert_id"]


def test_every_service_is_healthy(demo: Instance) -> None:
    state = demo.json("status", "--json")
    assert state["healthy"], state
    names = {service["name"] for service in state["services"]}
    assert {"clickhouse", "valkey", "collector", "writer", "judge", "dashboard"} <= names
