"""The browser that tests drive: the system's Chromium."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

_CHROMIUM = Path("/usr/bin/chromium")
# In a container there is no sandbox and no GPU; the rest keeps the browser from calling home.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A headless Chromium. Without one the test is skipped; in CI it fails."""
    if not _CHROMIUM.exists():
        message = f"{_CHROMIUM} is not there; install Debian's package `chromium` to run this test"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_ARGUMENTS))
    try:
        yield browser
    finally:
        browser.close()
