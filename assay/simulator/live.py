"""Live traffic: calls at a few requests a second, sent to the collector over HTTP as a gateway would.

``python -m assay.simulator.live --rate 4``. Everything is marked with the source ``simulator``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import httpx
import msgspec
import numpy as np
import redis.asyncio
from redis.exceptions import RedisError

from assay.contracts.records import Record
from assay.settings import Settings, load_settings
from assay.simulator import history, incident, records, traffic
from assay.simulator.traffic import Calls
from assay.simulator.world import SOURCE, WORLD

STATUS: Final = "assay:simulator:status"
DEFAULT_RATE: Final = 4.0

_TICK_S: Final = 0.5
# What a gateway would keep while the collector is away, in records.
_KEEP: Final = 5000
_HEADERS: Final = {"X-Assay-Source": SOURCE, "Content-Type": "application/json"}


class Simulator:
    """Draws calls as time passes and sends them.

    Args:
        settings: where collector and Redis are.
        rate: calls a second on average.
        http: client to send with.
        state: Redis, for the incident and the heartbeat.
        seed: of everything random.
    """

    def __init__(
        self,
        settings: Settings,
        rate: float,
        *,
        http: httpx.AsyncClient,
        state: redis.asyncio.Redis,
        seed: int,
    ) -> None:
        self._settings = settings
        self._rate = rate
        self._http = http
        self._headers = dict(_HEADERS)
        if settings.api_key is not None:
            self._headers["X-Assay-Key"] = settings.api_key.get_secret_value()
        self._state = state
        self._rng = np.random.default_rng(seed)
        self._shares = traffic.shares()
        self._shifted = traffic.shifted()
        self._waiting: dict[str, list[Record]] = {
            "deployments": [],
            "spans": [],
            "feedback": [],
            "outcomes": [],
        }
        self._announced: incident.Incident | None = None
        self.sent = 0

    async def run(self, stop: asyncio.Event, *, duration_s: float = 0) -> int:
        """Send until ``stop`` is set, or for ``duration_s`` seconds; return how many spans were taken."""
        began = last = time.monotonic()
        while not stop.is_set() and not (duration_s and time.monotonic() - began >= duration_s):
            now = time.monotonic()
            await self._tick(now - last)
            last = now
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), max(0.0, now + _TICK_S - time.monotonic()))
        return self.sent

    async def _tick(self, elapsed_s: float) -> None:
        now = datetime.now(UTC)
        current = await self._incident()
        if current is not None and current.announced(now) and current != self._announced:
            self._announced = current
            self._waiting["deployments"].append(incident.deployment(current))
        on = current is not None and current.on(now)
        count = int(self._rng.poisson(self._rate * elapsed_s))
        if count:
            self._add(self.draw(count, now, on=on))
        for path in self._waiting:
            await self._send(path)
        await self._beat(on)

    def draw(self, count: int, now: datetime, *, on: bool) -> Calls:
        """Calls that end at ``now``, over all templates; with the incident where it is ``on``."""
        chosen = np.bincount(self._rng.choice(len(self._shares), count, p=self._shares))
        parts = []
        for index in np.flatnonzero(chosen).tolist():
            at_us = np.full(chosen[index], int(now.timestamp() * 1_000_000))
            shift = self._shifted.get(index) if on else None
            parts.append(traffic.calls(self._rng, index, at_us, shift=shift))
        found = Calls.concatenate(parts)
        # A gateway reports a call when it is over.
        found.at_us[:] -= (found.latency_ms * 1000).astype(np.int64)
        return found

    def _add(self, calls: Calls) -> None:
        self._waiting["spans"] += records.spans(calls, with_text=True)
        after = history.consequences(self._rng, calls, np.ones(len(calls), dtype=bool), world=WORLD)
        self._waiting["feedback"] += history.feedback(after, delay_s=0)
        self._waiting["outcomes"] += history.outcomes(after, delay_s=0)
        for waiting in self._waiting.values():
            del waiting[:-_KEEP]

    async def _send(self, path: str) -> None:
        waiting = self._waiting[path]
        if not waiting:
            return
        url = f"{self._settings.collector}/v1/{path}"
        try:
            answer = await self._http.post(url, content=msgspec.json.encode(waiting), headers=self._headers)
        except httpx.HTTPError as error:
            _say(
                f"POST {url}: {error or type(error).__name__}; "
                f"{len(waiting)} records are kept for the next try"
            )
            return
        if answer.status_code >= 500:
            _say(f"POST {url}: {answer.status_code}; {len(waiting)} records are kept for the next try")
            return
        if answer.status_code != httpx.codes.OK or answer.json()["rejected"]:
            _say(f"POST {url}: {answer.status_code} {answer.text[:500]}")
        if path == "spans" and answer.status_code == httpx.codes.OK:
            self.sent += int(answer.json()["accepted"])
        waiting.clear()

    async def _incident(self) -> incident.Incident | None:
        try:
            return await incident.scheduled(self._state)
        except (RedisError, OSError) as error:
            _say(f"Redis: {error}")
            return None

    async def _beat(self, on: bool) -> None:
        try:
            seconds, _ = await self._state.time()
            await self._state.hset(STATUS, mapping={"at": seconds, "sent": self.sent, "incident": int(on)})
        except (RedisError, OSError) as error:
            _say(f"Redis: {error}")


async def run(settings: Settings, *, rate: float, duration_s: float = 0) -> int:
    """Send live traffic until SIGINT or SIGTERM, or for ``duration_s`` seconds; return the spans taken."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with (
        httpx.AsyncClient(timeout=10, trust_env=False) as http,
        redis.asyncio.Redis.from_url(settings.redis) as state,
    ):
        simulator = Simulator(settings, rate, http=http, state=state, seed=time.time_ns())
        return await simulator.run(stop, duration_s=duration_s)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="assay.simulator.live", description=__doc__)
    parser.add_argument("--rate", type=float, default=DEFAULT_RATE, help="calls a second on average")
    parser.add_argument("--duration", type=float, default=0, help="seconds; 0: until stopped")
    options = parser.parse_args(argv)
    asyncio.run(run(load_settings(), rate=options.rate, duration_s=options.duration))


def _say(message: str) -> None:
    sys.stderr.write(message + "\n")


if __name__ == "__main__":
    main()
