"""Store what is in the queue: ``python -m assay.collector.writer``."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import secrets
import signal
import socket
import sys

import redis

from assay.collector.writer.service import Writer
from assay.settings import SettingsError, load_settings
from assay.warehouse.client import connect

# A block is up to 100,000 objects without cycles, freed by their reference counts. Looking for cycles among
# them every 700 allocations took half of the writer's processor time.
_COLLECT_EVERY = 500_000
# Longer than any blocking read; shorter than a person's patience with a queue that hangs.
_QUEUE_TIMEOUT_S = 15.0


def main() -> None:
    """Run until SIGTERM or SIGINT; the running block is finished first."""
    parser = argparse.ArgumentParser(prog="python -m assay.collector.writer", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000, help="most records in a block")
    # An insert of one row makes a part in a dozen tables, to be merged later, like one of thousands: five
    # blocks a second of a few rows took 40 % of a core in the store, one takes a fraction of it.
    parser.add_argument("--wait", type=float, default=1.0, help="seconds that a record waits for others")
    args = parser.parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    log = logging.getLogger("assay.writer")
    log.setLevel(logging.INFO)
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    writer = Writer(
        lambda: redis.Redis.from_url(settings.redis, socket_timeout=_QUEUE_TIMEOUT_S),
        lambda: connect(settings),
        f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
        rows=args.rows,
        wait_s=args.wait,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: writer.stop())
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)
    log.info("storing what arrives at %s", settings.clickhouse)
    writer.run()
    log.info("stopped after %d blocks, %d rows", writer.status.blocks, writer.status.rows)


main()
