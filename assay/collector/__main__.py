"""Run the collector: ``python -m assay.collector``. Settings come from ``ASSAY_*`` variables."""

from __future__ import annotations

import logging
import sys
from pkgutil import resolve_name

import uvicorn

from assay.collector.app import Collector
from assay.collector.connections import patient
from assay.collector.redact import DEFAULT, Redactor
from assay.settings import Settings, SettingsError, load_settings


def main() -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        settings = load_settings()
        redactor = _redactor(settings)
    except SettingsError as error:
        sys.exit(str(error))
    uvicorn.run(
        Collector(settings, redactor=redactor).application(),
        host=settings.host,
        port=settings.collector_port,
        http=patient(settings.request_timeout_s),
        ws="none",
        limit_concurrency=settings.max_connections,
        backlog=1024,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
    )


def _redactor(settings: Settings) -> Redactor:
    if settings.redactor is None:
        return DEFAULT
    try:
        found: Redactor = resolve_name(settings.redactor)
        found.redact("")
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise SettingsError(
            f"ASSAY_REDACTOR={settings.redactor!r}: no object with a method redact(text) -> str: {error}"
        ) from error
    return found


if __name__ == "__main__":
    main()
