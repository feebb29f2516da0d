"""Acknowledging an alert on the page, in a browser, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect

from assay.settings import Settings
from assay.warehouse.client import connect
from sensors import alerts
from tests.assay.dashboard.browsing import opened
from tests.assay.dashboard.conftest import served
from tests.assay.dashboard.overview.recent import alert
from tests.support.processes import free_port
from tests.support.rows import insert


def status(settings: Settings, alert_id: str) -> tuple[str, str]:
    """Status of an alert in the store, and who acknowledged it."""
    with connect(settings) as client:
        ((found, by),) = client.query(
            "SELECT status, acknowledged_by FROM alerts_current WHERE alert_id = {id:String}",
            parameters={"id": alert_id},
        ).result_rows
    return found, by


def row(page: Page, alert_id: str) -> Any:
    return page.locator(f'[data-alert="{alert_id}"]')


def hide(page: Page) -> None:
    """A tab that nobody looks at does not ask again."""
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")


def post(url: str, intent: Any, *, content_type: str = "application/json") -> httpx.Response:
    """What the page's script sends for a click."""
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        known = http.get("/_dash-dependencies").json()
        callback = next(each for each in known if [i["id"] for i in each["inputs"]] == ["intent"])
        names = callback["output"].strip(".").split("...")
        body = {
            "output": callback["output"],
            "outputs": [dict(zip(("id", "property"), name.split(".", 1), strict=True)) for name in names],
            "inputs": [{"id": "intent", "property": "data", "value": intent}],
            "changedPropIds": ["intent.data"],
        }
        content = httpx.Request("POST", url, json=body).content
        return http.post("/_dash-update-component", content=content, headers={"Content-Type": content_type})


def test_acknowledging_asks_for_a_name_once(browser: Browser, dashboard: str, built: Settings) -> None:
    with connect(built) as client:
        insert(client, "alerts", alert("a1", "acme"), alert("a2", "globex", level="investigate"))
    with opened(browser, dashboard) as page:
        # By keyboard alone; a refresh in between leaves the focus where it is.
        page.get_by_role("button", name="Acknowledge: page, acme").focus()
        with page.expect_response(lambda response: "_dash-update" in response.url):
            pass
        page.wait_for_timeout(500)
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Who is looking at it?")
        expect(dialog.get_by_label("Your name")).to_be_focused()
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("A name is needed")
        page.keyboard.type("  Maria   Silva ")
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
        expect(row(page, "a1")).to_contain_text("acknowledged by Maria Silva")
        expect(row(page, "a1").get_by_role("button")).to_have_count(0)
        expect(page.get_by_role("alert")).to_contain_text("1 page is open, acknowledged")
        assert status(built, "a1") == ("acknowledged", "Maria Silva")
        expect(row(page, "a1").locator(".tenant")).to_be_focused()
        assert status(built, "a2") == ("open", "")

        # The next one takes a click, and so after a reload.
        page.reload()
        expect(page.locator("#signature")).to_contain_text("You acknowledge as Maria Silva")
        row(page, "a2").get_by_role("button", name="Acknowledge").click()
        expect(row(page, "a2")).to_contain_text("acknowledged by Maria Silva")
        expect(page.locator("#signature")).to_be_hidden()

        with connect(built) as client:
            insert(client, "alerts", alert("a3", "initech"))
        page.get_by_role("button", name="Change").click()
        page.get_by_label("Your name").fill("Kim")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#signature")).to_contain_text("You acknowledge as Kim")
        assert status(built, "a3") == ("open", "")
        row(page, "a3").get_by_role("button", name="Acknowledge").click()
        expect(row(page, "a3")).to_contain_text("acknowledged by Kim")


def test_an_alert_that_is_over_is_told(browser: Browser, dashboard: str, built: Settings) -> None:
    with connect(built) as client:
        insert(client, "alerts", alert("a1", "acme"))
    with opened(browser, dashboard) as page:
        hide(page)
        with connect(built) as client:
            alerts.resolve(client, "a1", by="lee")
        row(page, "a1").get_by_role("button", name="Acknowledge").click()
        page.get_by_label("Your name").fill("Kim")
        page.keyboard.press("Enter")
        notice = page.locator("#acknowledgement")
        expect(notice).to_contain_text(
            re.compile(r"Not acknowledged: alert 'a1' was resolved at .* UTC by lee")
        )
        expect(page.locator("#alerts")).to_contain_text("No open alerts")
        notice.get_by_role("button", name="Dismiss").click()
        expect(notice).to_be_empty()
    assert status(built, "a1") == ("resolved", "")


def test_no_answer_is_not_taken_for_success(browser: Browser, dashboard: str, built: Settings) -> None:
    with connect(built) as client:
        insert(client, "alerts", alert("a1", "acme"))
    with opened(browser, dashboard) as page:
        hide(page)
        # A dashboard that takes the click and never answers, and a viewer with less patience.
        page.evaluate(
            """() => {
              const wait = window.setTimeout;
              window.setTimeout = (what, ms, ...more) => wait(what, ms > 20_000 ? 1_000 : ms, ...more);
              window.fetch = () => new Promise(() => {});
            }"""
        )
        button = row(page, "a1").get_by_role("button")
        button.click()
        page.get_by_label("Your name").fill("Kim")
        page.keyboard.press("Enter")
        expect(button).to_have_text("Acknowledging…")
        expect(button).to_have_text("Acknowledge")
        expect(page.locator("#acknowledgement")).to_contain_text("the alert may not be acknowledged")


def test_only_the_pages_own_script_acknowledges(dashboard: str, built: Settings) -> None:
    with connect(built) as client:
        insert(client, "alerts", alert("a1", "acme"))
    click = {"alert": "a1", "by": "kim"}
    # What another site can make a browser send without asking first.
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        assert post(dashboard, click, content_type=content_type).status_code >= 400
    for wrong in (None, "a1", {"alert": "a1"}, {"alert": "a1", "by": "  "}, click | {"by": "x" * 61}):
        assert post(dashboard, wrong).status_code == 204
    assert status(built, "a1") == ("open", "")
    assert post(dashboard, click).status_code == 200
    assert status(built, "a1") == ("acknowledged", "kim")


def test_a_store_that_is_not_there_is_told_with_the_fix(tmp_path: Path) -> None:
    with served(f"http://127.0.0.1:{free_port()}", "llm", tmp_path / "log.txt") as url:
        answer = post(url, {"alert": "a1", "by": "kim"}).text
    assert "Not acknowledged: The store does not answer" in answer
    assert "assay status" in answer
