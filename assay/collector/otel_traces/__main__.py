"""Run the bridge: ``python -m assay.collector.otel_traces``. Settings come from ``ASSAY_*`` variables."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from typing import Final

import redis.asyncio
from redis.exceptions import RedisError

from assay.collector.otel_traces.bridge import Bridge
from assay.collector.redact import redactor_of
from assay.settings import Settings, SettingsError, load_settings

STATUS: Final = "assay:otel:status"
HEARTBEAT_S: Final = 3.0
_TELL_S: Final = 60.0
# The supervisor waits 15 s before it kills; a page takes less than a second.
_GRACE_S: Final = 8.0
log = logging.getLogger("assay.otel")


async def beat(bridge: Bridge, client: redis.asyncio.Redis) -> None:
    """Write the heartbeat: what was done, what is left, what is wrong, on the server's clock."""
    seconds, micros = await client.time()
    totals = bridge.totals
    fields: dict[str, object] = {
        "at": f"{seconds}.{micros:06d}",
        "pid": os.getpid(),
        "rows": totals.rows,
        "accepted": totals.accepted,
        "rejected": totals.rejected,
        "ignored": totals.ignored,
        "left": "" if totals.left is None else totals.left,
        "outage": totals.outage,
    }
    await client.hset(STATUS, mapping={name: str(value) for name, value in fields.items()})


async def _beats(bridge: Bridge, client: redis.asyncio.Redis) -> None:
    told, at = 0, time.monotonic()
    while True:
        try:
            await beat(bridge, client)
        except (RedisError, OSError) as error:
            log.warning("no heartbeat: %s", error)
        totals = bridge.totals
        if totals.rows != told and time.monotonic() - at >= _TELL_S:
            told, at = totals.rows, time.monotonic()
            log.info(
                "%d rows read: %d calls queued, %d rejected; %s rows left",
                *(totals.rows, totals.accepted, totals.rejected, totals.left),
            )
        await asyncio.sleep(HEARTBEAT_S)


async def _serve(settings: Settings) -> None:
    async with redis.asyncio.Redis.from_url(settings.redis, socket_timeout=15) as client:
        bridge = Bridge(settings, client, redactor=redactor_of(settings))
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, bridge.stop.set)
        tasks = [
            asyncio.create_task(work)
            for work in (bridge.run(), _beats(bridge, client), bridge.policies.run())
        ]
        stopping = asyncio.create_task(bridge.stop.wait())
        await asyncio.wait((*tasks, stopping), return_when=asyncio.FIRST_COMPLETED)
        bridge.stop.set()
        await asyncio.wait(tasks[:1], timeout=_GRACE_S)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await bridge.close()
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result


def main() -> None:
    """Run until SIGTERM or SIGINT; the page under way is finished first."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = load_settings()
        if settings.otel_traces_table is None:
            raise SettingsError("ASSAY_OTEL_TRACES_TABLE is not set: there is no table to read")
        asyncio.run(_serve(settings))
    except SettingsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
