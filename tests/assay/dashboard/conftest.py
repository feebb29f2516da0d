"""The dashboard as its users meet it: a process of its own, a real store behind, a real browser in front."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from assay.settings import Settings
from tests.support.browser import chromium
from tests.support.processes import answers, free_port, python, running


@contextmanager
def served(clickhouse_url: str, database: str, log: Path) -> Iterator[str]:
    """URL of a dashboard process over a database."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "ASSAY_CLICKHOUSE_URL": clickhouse_url,
        "ASSAY_CLICKHOUSE_DATABASE": database,
        "ASSAY_DASHBOARD_PORT": str(port),
        "ASSAY_DATA_DIR": str(log.parent),
    }
    with running(python("assay.dashboard"), ready=answers(f"{url}/healthz"), log=log, env=environment):
        yield url


@pytest.fixture
def dashboard(built: Settings, tmp_path: Path) -> Iterator[str]:
    """URL of a dashboard over the store of this test."""
    with served(built.clickhouse, built.clickhouse_database, tmp_path / "dashboard.txt") as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. For one module: while Playwright is open, an event loop runs in this thread, and tests
    that start one of their own fail.
    """
    with sync_playwright() as playwright, chromium(playwright) as found:
        yield found
