"""The page in a browser, over a real store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from assay.dashboard.pages import PAGES
from assay.settings import Settings
from assay.warehouse.client import connect
from tests.assay.dashboard.browsing import (
    barriers,
    chart,
    clipped,
    nameless,
    opened,
    ready,
    says,
    shows,
    stacks,
    tile,
)
from tests.assay.dashboard.conftest import served
from tests.assay.dashboard.overview.recent import alert, fill
from tests.support.databases import Databases
from tests.support.processes import REPOSITORY, free_port, wait_for
from tests.support.rows import insert, span

ARTIFACTS = REPOSITORY / "artifacts"


@pytest.fixture
def traffic(built: Settings) -> Settings:
    """The store of this test, with traffic."""
    fill(built)
    return built


@pytest.fixture(scope="module")
def screen(built_databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a dashboard over traffic and an open alert, for the tests that only look."""
    log = tmp_path_factory.mktemp("screen") / "dashboard.txt"
    with built_databases.lend() as settings:
        fill(settings)
        with connect(settings) as client:
            insert(client, "alerts", alert("a1", "acme"))
        with served(settings.clickhouse, settings.clickhouse_database, log) as url:
            yield url
    assert "Traceback" not in log.read_text()


def test_figures_alerts_and_filters(browser: Browser, dashboard: str, traffic: Settings) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    with opened(browser, dashboard, color_scheme="light") as page:
        expect(tile(page, "request_count")).to_have_text("80")
        expect(tile(page, "cost_usd")).to_have_text("$0.80")
        expect(tile(page, "quality_mean")).to_have_text("0.800")
        expect(page.locator("#simulated")).to_be_visible()
        expect(page.locator("#freshness")).to_have_text(
            re.compile(r"^data up to \d\d:\d\d:\d\d UTC, \d+ (s|min) ago$")
        )
        expect(page.locator("#alerts")).to_contain_text("No open alerts")
        expect(page.locator("#rows tr")).to_have_count(4)
        # Equally dear: by name. Who has no price has no spend.
        shows(page, "spend", "acme", "globex")
        shows(page, "requests", "acme", "globex", "unmeasured")

        # What happens in the store shows without a reload.
        with connect(traffic) as client:
            insert(client, "alerts", alert("a1", "acme"))
        expect(page.locator('[data-alert="a1"]')).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text("1 page is open")
        page.screenshot(path=ARTIFACTS / "dashboard-light.png", full_page=True)

        # An alert leads to its tenant, the address says so, and the figures are that tenant's.
        page.locator('[data-alert="a1"] a').click()
        expect(page).to_have_url(re.compile(r"\?tenant=acme$"))
        expect(tile(page, "request_count")).to_have_text("40")
        expect(page.locator("#rows tr")).to_have_count(2)
        expect(page.locator("#simulated")).to_be_hidden()
        page.go_back()
        expect(tile(page, "request_count")).to_have_text("80")

        with connect(traffic) as client:
            insert(client, "alerts", alert("a1", "acme", event="acknowledged") | {"actor": "maria"})
        expect(page.locator('[data-alert="a1"]')).to_contain_text("acknowledged by maria")


def test_bars_stand_on_each_other_also_where_a_member_has_no_calls(
    browser: Browser, dashboard: str, built: Settings
) -> None:
    now = datetime.now(UTC)
    # The middle one, which has calls in every other minute only.
    calls = [
        span(now - timedelta(minutes=minute), tenant_id=name, cost_usd=Decimal(cost), cost_status="priced")
        for minute in range(10)
        for name, cost in (("acme", 9), ("globex", 6), ("initech", 1))
        if name != "globex" or minute % 2
    ]
    with connect(built) as client:
        insert(client, "llm_traces", *calls)
    with opened(browser, dashboard) as page:
        for key, heights in (("spend", {(9, 15, 16), (9, 10)}), ("requests", {(1, 2, 3), (1, 2)})):
            shows(page, key, "acme", "globex", "initech")
            drawn = stacks(page, key).values()
            assert len(drawn) == 10
            assert {tuple(top for _, top in bars) for bars in drawn} == heights
            assert all(bars[0][0] == 0 for bars in drawn)


def test_filters_sort_and_grouping_are_in_the_address(browser: Browser, screen: str) -> None:
    with opened(browser, screen) as page:
        page.get_by_role("textbox", name="Tenant").click()
        page.get_by_role("option", name="globex").click()
        expect(page).to_have_url(re.compile(r"\?tenant=globex$"))
        expect(tile(page, "cost_usd")).to_have_text("$0.40")
        page.keyboard.press("Escape")
        page.locator("#sort-request_count").click()
        expect(page).to_have_url(re.compile(r"tenant=globex&sort=-request_count$"))
        expect(page.locator("#head-request_count")).to_have_attribute("aria-sort", "descending")
        page.get_by_text("6h", exact=True).click()
        expect(page).to_have_url(re.compile(r"range=6h&tenant=globex"))

    # A link that was shared shows the same.
    link = f"{screen}/?tenant=acme&group=model&sort=model"
    with opened(browser, link) as page:
        expect(tile(page, "request_count")).to_have_text("40")
        shows(page, "requests", "claude-sonnet-4-5", "gpt-4.1")
        expect(page.locator("#rows tr td:nth-child(2)")).to_have_text(["claude-sonnet-4-5", "gpt-4.1"])
        expect(page.locator(".mantine-MultiSelect-pill")).to_have_text(["acme"])
        expect(page).to_have_url(link)


def test_custom_range_and_cohort(browser: Browser, screen: str) -> None:
    with opened(browser, f"{screen}/?cohort=experiment") as page:
        expect(tile(page, "request_count")).to_have_text("20")
        expect(page.locator("#custom")).to_be_hidden()
        page.get_by_text("Custom", exact=True).click()
        expect(page.locator("#custom")).to_be_visible()
        expect(page).to_have_url(re.compile(r"range=custom&from=[^&]+&to=[^&]+&cohort=experiment$"))
        expect(tile(page, "request_count")).to_have_text("20")


def test_unknown_is_said_in_words(browser: Browser, screen: str) -> None:
    with opened(browser, f"{screen}/?tenant=unmeasured") as page:
        expect(tile(page, "request_count")).to_have_text("20")
        expect(tile(page, "cost_usd")).to_have_text("no price")
        expect(tile(page, "latency_p95_ms")).to_have_text("not reported")
        expect(tile(page, "cache_hit_rate")).to_have_text("not reported")
        expect(tile(page, "quality_mean")).to_have_text("not judged")
        says(page, "spend", "No call in this range has a price")
        says(page, "quality", "Not judged in this range")
        row = page.locator("#rows tr").first
        expect(row).to_contain_text("no price")
        expect(row).to_contain_text("not judged")
        expect(row).not_to_contain_text("$0")


def test_no_traffic_yet_and_then_some(browser: Browser, dashboard: str, built: Settings) -> None:
    with opened(browser, dashboard) as page:
        expect(page.locator("#notice")).to_contain_text("No traffic yet.")
        expect(page.locator("#notice")).to_contain_text("/v1/traces")
        expect(tile(page, "cost_usd")).to_have_text("no data")
        expect(page.locator("#freshness")).to_have_text("no data yet")
        says(page, "spend", "No traffic in this range")
        with connect(built) as client:
            insert(client, "llm_traces", span(datetime.now(UTC)))
        expect(tile(page, "request_count")).to_have_text("1")
        expect(page.locator("#notice")).to_be_empty()


def test_store_that_is_not_there_is_told_with_the_fix(browser: Browser, tmp_path: Path) -> None:
    with served(f"http://127.0.0.1:{free_port()}", "llm", tmp_path / "log.txt") as url:
        for each in PAGES:
            with opened(browser, url + each.path) as page:
                expect(page.get_by_role("alert")).to_contain_text("The store does not answer")
                expect(page.get_by_role("alert")).to_contain_text("assay status")
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


def test_store_without_rollups_is_told_with_the_fix(
    browser: Browser, migrated: Settings, tmp_path: Path
) -> None:
    with (
        served(migrated.clickhouse, migrated.clickhouse_database, tmp_path / "log.txt") as url,
        opened(browser, url) as page,
    ):
        expect(page.get_by_role("alert")).to_contain_text("no rollups yet")
        expect(page.get_by_role("alert")).to_contain_text("dbt build")


def test_address_that_is_no_page(browser: Browser, dashboard: str) -> None:
    with browser.new_context() as profile:
        page = profile.new_page()
        page.goto(f"{dashboard}/nowhere")
        page.get_by_role("link", name="Go to Overview").click()
        ready(page)


def test_dark_follows_the_system_and_the_toggle_changes_it(browser: Browser, screen: str) -> None:
    with opened(browser, screen, color_scheme="dark", viewport={"width": 1440, "height": 1000}) as page:
        expect(tile(page, "request_count")).to_have_text("80")
        dark = chart(page, "spend")["ink"]
        page.screenshot(path=ARTIFACTS / "dashboard-dark.png", full_page=True)
        page.get_by_role("button", name="Switch between light and dark").click()
        expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "light")
        wait_for(lambda: chart(page, "spend")["ink"] != dark, "charts in light colours")


def test_fits_a_phone(browser: Browser, screen: str) -> None:
    with opened(browser, screen, viewport={"width": 390, "height": 844}, has_touch=True) as page:
        expect(page.locator('[data-alert="a1"]')).to_be_visible()
        # Nothing but the table scrolls sideways, and that in its own box.
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=ARTIFACTS / "dashboard-phone.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier_is_found_by_axe(browser: Browser, screen: str, scheme: Any) -> None:
    with opened(browser, screen, color_scheme=scheme, reduced_motion="reduce") as page:
        expect(page.locator('[data-alert="a1"]')).to_be_visible()
        assert barriers(page) == []
        page.get_by_role("button", name="Acknowledge: page").click()
        expect(page.get_by_label("Your name")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("A name is needed")
        assert barriers(page) == []


@pytest.mark.parametrize("width", [1280, 1920])
def test_nothing_is_clipped(browser: Browser, screen: str, width: int) -> None:
    with opened(browser, screen, viewport={"width": width, "height": 900}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert clipped(page) == []


def test_everything_is_reachable_by_keyboard_and_has_a_name(browser: Browser, screen: str) -> None:
    with opened(browser, screen) as page:
        assert nameless(page) == []
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to the figures")
        page.locator("#sort-tenant_id").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#head-tenant_id")).to_have_attribute("aria-sort", "ascending")


def test_a_refresh_keeps_the_zoom_and_a_hidden_tab_asks_nothing(browser: Browser, screen: str) -> None:
    with opened(browser, screen) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        shows(page, "spend", "acme", "globex")
        start, end = (datetime.fromisoformat(time) for time in chart(page, "spend")["range"])
        assert end - start == timedelta(hours=1)
        box = page.locator("#spend .nsewdrag").bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 40, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 160, middle, steps=8)
        page.mouse.up()
        page.wait_for_timeout(500)
        zoomed = chart(page, "spend")["range"]
        assert zoomed != chart(page, "requests")["range"]
        with page.expect_response(lambda response: "_dash-update" in response.url):
            pass
        page.wait_for_timeout(1000)
        assert chart(page, "spend")["range"] == zoomed

        # A double click shows all again, and so does another view.
        page.mouse.dblclick(box["x"] + 100, middle)
        wait_for(lambda: chart(page, "spend")["range"] == chart(page, "requests")["range"], "no zoom")

        page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
        page.wait_for_timeout(500)
        asked.clear()
        page.wait_for_timeout(6000)
        assert asked == []
        page.evaluate(
            """() => {
              Object.defineProperty(document, 'hidden', {value: false, configurable: true});
              document.dispatchEvent(new Event('visibilitychange'));
            }"""
        )
        page.wait_for_timeout(500)
        assert len(asked) > 0
