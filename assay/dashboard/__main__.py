"""Serve the screens: ``python -m assay.dashboard``."""

from __future__ import annotations

import sys

import uvicorn

from assay.dashboard.app import create
from assay.settings import SettingsError, load_settings


def main() -> int:
    """Serve until stopped; the exit code."""
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    uvicorn.run(
        create(settings),
        host=settings.host,
        port=settings.dashboard_port,
        log_level="warning",
        access_log=False,
        # A browser with an open connection must not hold up the stop.
        timeout_graceful_shutdown=3,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
