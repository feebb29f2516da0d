"""Run the collector: ``python -m assay.collector``. Settings come from ``ASSAY_*`` variables."""

from __future__ import annotations

import logging
import sys

import uvicorn

from assay.collector.app import Collector
from assay.collector.connections import patient
from assay.collector.redact import redactor_of
from assay.settings import SettingsError, load_settings


def main() -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        settings = load_settings()
        redactor = redactor_of(settings)
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


if __name__ == "__main__":
    main()
