from __future__ import annotations
from collections.abc import Iterator
import pytest
from playwright.sync_api import Browser, expect
from assay.warehouse.client import connect
from tests.assay.dashboard.browsing import barriers, opened, tile
from tests.assay.dashboard.conftest import served
from tests.assay.dashboard.efficiency.mart import fill
from tests.support.databases import Databases

@pytest.fixture(scope="module")
def screen(built_databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("screen") / "dashboard.txt"
    with built_databases.lend() as settings:
        with connect(settings) as client:
            fill(client)
        with served(settings.clickhouse, settings.clickhouse_database, log) as url:
            yield url
    assert "Traceback" not in log.read_text()

@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_shot(browser: Browser, screen: str, width, scheme) -> None:
    with opened(browser, f"{screen}/efficiency", color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        page.wait_for_timeout(1500); page.locator(".scroll").evaluate("e => e.scrollLeft = 0")
        page.screenshot(path=f"artifacts/eff-{width}-{scheme}.png", full_page=True)
        print("WIDTH", width, page.evaluate("document.documentElement.scrollWidth"), page.title())
        print(page.evaluate("""w => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > w && !e.closest('.scroll')).map(e => e.tagName + '.' + e.className + ' ' + e.getBoundingClientRect().right).slice(0,20)""", width))
        print("BARRIERS", barriers(page))
