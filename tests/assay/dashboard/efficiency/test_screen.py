"""The second screen in a browser, over a real store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.assay.dashboard.browsing import barriers, chart, clipped, nameless, opened, says, shows, tile
from tests.assay.dashboard.conftest import served
from tests.assay.dashboard.efficiency.mart import ago, fill
from tests.support.databases import Databases
from tests.support.processes import REPOSITORY, wait_for
from tests.support.rows import insert, span

ARTIFACTS = REPOSITORY / "artifacts"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


@pytest.fixture(scope="module")
def screen(built_databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the page over the rows of a build, for the tests that only look."""
    log = tmp_path_factory.mktemp("efficiency") / "dashboard.txt"
    with built_databases.lend() as settings:
        with connect(settings) as client:
            fill(client)
        with served(settings.clickhouse, settings.clickhouse_database, log) as url:
            yield f"{url}/efficiency"
    assert "Traceback" not in log.read_text()


def names(page: Page) -> Any:
    """The templates in the table."""
    return page.locator("#efficiency-rows td:first-child")


def test_figures_filters_and_links(browser: Browser, screen: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    with opened(browser, screen, color_scheme="light", viewport={"width": 1440, "height": 900}) as page:
        expect(page).to_have_title("Efficiency · Assay")
        for key, figure in (
            ("cost_usd", "$85.00"),
            ("normalized_per_call_usd", "$0.20"),
            ("completion_ratio", "0.215"),
            ("cache_hit_rate", "25.0%"),
            ("missed_discount_usd", "$3.00"),
            ("cost_per_conversion_usd", "$2.00"),
            ("escalation_rate", "10.0%"),
            ("cost_per_session_usd", "$4.50"),
        ):
            expect(tile(page, key)).to_have_text(figure)
        expect(page.locator("#efficiency-age")).to_have_text(re.compile(r"^built .* UTC, \d+ min ago; anew"))
        expect(page.locator("#efficiency-simulated")).to_be_hidden()
        expect(names(page)).to_have_text(["rag-v1", "chat", "rag-v1"])

        # The template with most flagged days is drawn until another is chosen.
        shows(page, "efficiency-completion", "28 days before", "ratio", "spike", "drop")
        expect(page.locator("#efficiency-flags li")).to_have_text(
            [
                f"{ago(5):%d %b}: drop, × 0.25 of its median, 40.0% ended by the token limit",
                f"{ago(2):%d %b}: spike, × 2.50 of its median, 0% ended by the token limit",
            ]
        )
        assert chart(page, "efficiency-cache")["range"][1].startswith(f"{ago(-1)}")
        page.screenshot(path=ARTIFACTS / "efficiency-light.png", full_page=True)
        page.get_by_role("link", name="chat").click()
        expect(page).to_have_url(re.compile(r"\?of_tenant=acme&of_template=chat$"))
        says(page, "efficiency-normalized", "Complexity unknown: time its tasks: assay load task-times")
        says(page, "efficiency-completion", "No call reported its tokens")
        expect(page.locator("#efficiency-flags")).to_contain_text("Too few days")

        # A filter leaves out what was drawn, and is in the address.
        page.get_by_role("textbox", name="Tenant").click()
        page.get_by_role("option", name="globex").click()
        page.keyboard.press("Escape")
        expect(page).to_have_url(re.compile(r"efficiency\?tenant=globex$"))
        expect(tile(page, "cost_usd")).to_have_text("no price")
        expect(tile(page, "cost_per_conversion_usd")).to_have_text("not sent")
        expect(names(page)).to_have_count(1)
        page.locator("#efficiency-sort-cost_usd").click()
        expect(page.locator("#efficiency-head-cost_usd")).to_have_attribute("aria-sort", "descending")
        page.get_by_text("7d", exact=True).click()
        expect(page).to_have_url(re.compile(r"\?range=7d&tenant=globex&sort=-cost_usd$"))


def test_both_pages_keep_the_filters_that_they_share(browser: Browser, screen: str) -> None:
    with opened(
        browser, f"{screen}?range=7d&tenant=acme&model=small&of_tenant=acme&of_template=chat"
    ) as page:
        expect(tile(page, "cost_usd")).to_have_text("$19.00")
        here = page.url
        page.get_by_role("link", name="Overview").click()
        expect(page).to_have_title("Overview · Assay")
        expect(page).to_have_url(re.compile(r"/\?tenant=acme&model=small$"))
        expect(page.locator(".mantine-MultiSelect-pill")).to_have_text(["acme", "small"])
        page.get_by_text("6h", exact=True).click()
        expect(page).to_have_url(re.compile(r"/\?range=6h&tenant=acme&model=small$"))
        # Another page's range is not this one's.
        page.get_by_role("link", name="Efficiency").click()
        expect(page).to_have_url(re.compile(r"/efficiency\?tenant=acme&model=small$"))
        expect(tile(page, "cost_usd")).to_have_text("$25.00")
        # The way back leads through the same views.
        page.go_back()
        expect(page.locator("#tiles[aria-busy='false']")).to_be_visible()
        expect(page).to_have_url(re.compile(r"/\?range=6h&tenant=acme&model=small$"))
        page.go_back()
        page.go_back()
        expect(tile(page, "cost_usd")).to_have_text("$19.00")
        expect(page).to_have_url(here)


def test_empty_store_an_old_build_and_a_new_one(browser: Browser, dashboard: str, built: Settings) -> None:
    with opened(browser, f"{dashboard}/efficiency") as page:
        notice = page.locator("#efficiency-notice")
        expect(notice).to_contain_text("No call was in the store when these figures were built.")
        expect(notice).to_contain_text("dbt build --select efficiency_daily")
        expect(tile(page, "cost_usd")).to_have_text("no data")
        says(page, "efficiency-cache", "No traffic of this template in this range")
        expect(page.locator("#efficiency-drawn")).to_have_attribute("placeholder", "none")

        # A look at the store that finds the same build leaves everything as it is.
        with connect(built) as client:
            insert(client, "llm_traces", span(datetime.now(UTC), source="simulator"))
            look(page)
            expect(page.locator("#efficiency-simulated")).to_be_hidden()
            fill(client)
            look(page)
        expect(tile(page, "cost_usd")).to_have_text("$85.00")
        expect(notice).to_be_empty()
        expect(page.locator("#efficiency-simulated")).to_be_visible()

        # The store loses the table: the figures stay, and what to do is said.
        with connect(built) as client:
            client.command("RENAME TABLE efficiency_daily TO away")
            look(page)
            expect(page.get_by_role("alert")).to_contain_text("no table `efficiency_daily` yet")
            expect(page.get_by_role("alert")).to_contain_text("assay up")
            expect(tile(page, "cost_usd")).to_have_text("$85.00")
            client.command("RENAME TABLE away TO efficiency_daily")
            look(page)
        expect(notice).to_be_empty()


def look(page: Page) -> None:
    """Let the page look at the store now, as it does every half minute, and wait for the answer."""
    with page.expect_response(lambda response: "_dash-update" in response.url):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone_and_has_no_barrier(browser: Browser, screen: str, scheme: Any) -> None:
    with opened(browser, screen, color_scheme=scheme, reduced_motion="reduce", **PHONE) as page:
        shows(page, "efficiency-completion", "28 days before", "ratio", "spike", "drop")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert clipped(page) == []
        page.screenshot(path=ARTIFACTS / f"efficiency-phone-{scheme}.png", full_page=True)
        assert barriers(page) == []
        # The table scrolls in its own box, by keyboard too; whose figures these are stays in sight.
        box = page.get_by_role("region", name="Templates by tenant")
        box.focus()
        box.evaluate("box => { box.scrollLeft = box.scrollWidth }")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        expect(page.get_by_role("link", name="chat")).to_be_in_viewport(ratio=1)
        expect(page.locator("#efficiency-sort-escalation_rate")).to_be_in_viewport(ratio=1)
        page.get_by_role("textbox", name="Template", exact=True).click()
        option = page.get_by_role("option", name="chat")
        expect(option).to_be_in_viewport(ratio=1)
        option.click()
        expect(tile(page, "cost_usd")).to_have_text("$5.00")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (1920, "light")])
def test_nothing_is_clipped_and_everything_has_a_name(
    browser: Browser, screen: str, width: int, scheme: Any
) -> None:
    view = {"viewport": {"width": width, "height": 900}, "reduced_motion": "reduce", "color_scheme": scheme}
    with opened(browser, screen, **view) as page:
        shows(page, "efficiency-cache", "hit rate")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert clipped(page) == []
        assert nameless(page) == []
        assert barriers(page) == []
        page.screenshot(path=ARTIFACTS / f"efficiency-{width}.png", full_page=True)
        # By keyboard: sort, and draw another template; a refresh keeps the place.
        page.locator("#efficiency-sort-tenant_id").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#efficiency-head-tenant_id")).to_have_attribute("aria-sort", "ascending")
        page.get_by_role("link", name="chat").focus()
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"of_template=chat"))
        wait_for(lambda: page.evaluate("document.activeElement.textContent") == "chat", "focus on the link")
