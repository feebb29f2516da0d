"""The capture policies, read from the store every half minute; the last known ones while it is down."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.collector.capture import Policies, read_policies
from assay.settings import Settings
from assay.warehouse.client import connect

INTERVAL_S: Final = 30.0
# Soon after a start the store may still be starting.
_RETRY_S: Final = 5.0

_log = logging.getLogger(__name__)


class PolicyWatch:
    """Keeps :attr:`current` fresh. Before the first read every tenant has ``none``."""

    def __init__(self, settings: Settings, *, interval_s: float = INTERVAL_S) -> None:
        self._settings = settings
        self._interval_s = interval_s
        self._client: Client | None = None
        self.current = Policies(sample_rate=settings.capture_sample_rate)
        self.read_at: float | None = None
        self.error = "not read yet"

    async def refresh(self) -> None:
        """Read now; what cannot be read leaves the policies as they are."""
        try:
            self.current = await asyncio.to_thread(self._read)
        except (ClickHouseError, OSError) as error:
            self._client = None
            if not self.error:
                _log.warning("capture policies: the last known ones stay in force: %s", error)
            self.error = str(error)[:200] or type(error).__name__
        else:
            self.read_at = time.monotonic()
            self.error = ""

    def _read(self) -> Policies:
        if self._client is None:
            self._client = connect(self._settings)
        return read_policies(self._client, sample_rate=self._settings.capture_sample_rate)

    async def run(self) -> None:
        """Read every :data:`INTERVAL_S` until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(min(self._interval_s, _RETRY_S) if self.error else self._interval_s)

    @property
    def state(self) -> str:
        """One line for ``/readyz``."""
        if self.read_at is None:
            return f"not read yet, no text is kept: {self.error}"
        age = time.monotonic() - self.read_at
        tail = f"; the store is down: {self.error}" if self.error else ""
        return f"{len(self.current)} tenants with text captured, read {age:.0f} s ago{tail}"
