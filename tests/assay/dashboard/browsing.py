"""Looking at a page in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.support.processes import wait_for


@contextmanager
def opened(browser: Browser, url: str, **context: Any) -> Iterator[Page]:
    """A page in a fresh profile. Afterwards: no error in its console, no request to another host."""
    host = urlsplit(url).netloc
    problems: list[str] = []
    strangers: list[str] = []

    def requested(address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != host:
            strangers.append(address)

    with browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | context)) as profile:
        page = profile.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requested(request.url))
        page.goto(url)
        ready(page)
        yield page
        assert strangers == []
        assert problems == []


def ready(page: Page) -> None:
    expect(page.locator('.tiles[aria-busy="false"], .notice.failed')).not_to_have_count(0, timeout=30_000)


def tile(page: Page, key: str) -> Any:
    return page.locator(f'[data-key="{key}"] .value')


def chart(page: Page, key: str) -> dict[str, Any]:
    """Names and values that a chart shows."""
    page.wait_for_function("key => document.querySelector(`#${key} .js-plotly-plot`)?._fullLayout", arg=key)
    found: dict[str, Any] = page.evaluate(
        """key => {
          const plot = document.querySelector(`#${key} .js-plotly-plot`);
          return {
            names: plot.data.map(t => t.name),
            words: (plot.layout.annotations || []).map(a => a.text),
            range: plot._fullLayout.xaxis.range,
            ink: plot._fullLayout.font.color,
          };
        }""",
        key,
    )
    return found


def shows(page: Page, key: str, *names: str) -> None:
    """Wait until a chart shows these members, in this order."""
    wait_for(lambda: chart(page, key)["names"] == list(names), f"{key} by {names}")


def says(page: Page, key: str, words: str) -> None:
    """Wait until a chart says this instead of showing anything."""
    wait_for(lambda: chart(page, key)["words"] == [words], f"{key}: {words}")


def stacks(page: Page, key: str) -> dict[str, list[tuple[float, float]]]:
    """From where to where each bar of a chart is drawn, by period, from the first member to the last."""
    page.wait_for_function("key => document.querySelector(`#${key} .js-plotly-plot`)?.calcdata", arg=key)
    found: dict[str, list[tuple[float, float]]] = page.evaluate(
        """key => {
          const periods = {};
          for (const bars of document.querySelector(`#${key} .js-plotly-plot`).calcdata)
            for (const bar of bars)
              if (bar.s !== undefined) (periods[bar.p] ??= []).push([bar.b, bar.b + bar.s]);
          return periods;
        }""",
        key,
    )
    return found


def barriers(page: Page) -> list[str]:
    """What axe-core finds wrong in a page for people with disabilities, from serious on."""
    found = Axe().run(page).response
    assert len(found["passes"]) > 20, "axe did not look at the page"
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def clipped(page: Page) -> list[str]:
    """Texts that do not fit into their place."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('.value, .tile-title, h2, th button, .label')]
          .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline')
          .map(e => e.textContent)"""
    )
    return found


def nameless(page: Page) -> list[str]:
    """What can be used by keyboard, and says to nobody what it is."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('button, a, input:not([type=hidden]), [role=region]')]
          .filter(e => e.offsetParent !== null)
          .filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length
            || e.getAttribute('aria-labelledby')))
          .map(e => e.outerHTML.slice(0, 200))"""
    )
    return found
