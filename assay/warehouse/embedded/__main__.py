"""Serve the embedded store: ``python -m assay.warehouse.embedded --data-dir DIR --port PORT``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import uvicorn

from assay.settings import Settings, SettingsError, is_loopback, load_settings
from assay.warehouse.embedded.app import Limits, Server, User
from assay.warehouse.embedded.config import DirectoryInUseError, hold, write_config
from assay.warehouse.embedded.deduplication import forget_unfinished
from assay.warehouse.embedded.engine import Engine
from assay.warehouse.embedded.storage import S3


def main() -> None:
    """Run until SIGTERM or SIGINT; running statements finish first."""
    parser = argparse.ArgumentParser(prog="python -m assay.warehouse.embedded", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18123)
    parser.add_argument("--user", default="default")
    parser.add_argument("--password", default="")
    parser.add_argument("--sync", action="store_true", help="an insert is answered once the disk has it")
    parser.add_argument("--max-running", type=int, default=Limits.running, help="statements at once")
    parser.add_argument("--max-wait", type=float, default=Limits.wait_s, help="seconds until 503")
    args = parser.parse_args()
    if not args.password and not is_loopback(args.host):
        parser.error(
            f"--host {args.host}: beyond this machine the store needs a --password; without one whoever "
            "reaches the port reads and deletes everything. Or listen on 127.0.0.1"
        )
    data_dir = args.data_dir.resolve()
    # The engine takes its time zone from the process.
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        with hold(data_dir) as directory:
            forget_unfinished(directory)
            server = Server(
                Engine(directory, write_config(data_dir, sync=args.sync, cold=_cold(load_settings()))),
                Limits(running=args.max_running, wait_s=args.max_wait),
                User(args.user, args.password),
            )
            uvicorn.run(
                server.application(),
                host=args.host,
                port=args.port,
                log_level="warning",
                access_log=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=30,
            )
    except (DirectoryInUseError, SettingsError) as error:
        sys.exit(str(error))


def _cold(settings: Settings) -> S3 | None:
    """The bucket of the cold volume: from the environment, as a secret does not belong on a command line."""
    if settings.cold_s3_endpoint is None:
        return None
    secret = settings.cold_s3_secret_access_key
    if (secret is None) != (settings.cold_s3_access_key_id is None):
        raise SettingsError(
            "ASSAY_COLD_S3_ACCESS_KEY_ID and ASSAY_COLD_S3_SECRET_ACCESS_KEY: set both or none"
        )
    return S3(
        settings.cold_s3_endpoint,
        settings.cold_s3_access_key_id or "",
        secret.get_secret_value() if secret else "",
        settings.cold_s3_region or "",
    )


main()
