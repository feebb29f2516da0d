"""The API keys, read from the store every second; the last known ones while it is down."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.contracts.api_key import Presented
from assay.settings import Settings
from assay.warehouse import api_keys
from assay.warehouse.api_keys import ApiKey
from assay.warehouse.client import connect

# A new key works, and a revoked one stops, within two seconds: one of waiting, one for a busy store.
INTERVAL_S: Final = 1.0
# "Last used" is for finding keys that nobody needs; a write per request would be dearer than the request.
USES_INTERVAL: Final = timedelta(minutes=5)

_log = logging.getLogger(__name__)


class Keyring:
    """Keeps :attr:`keys` fresh, and remembers which of them were used."""

    def __init__(self, settings: Settings, *, interval_s: float = INTERVAL_S) -> None:
        self._settings = settings
        self._interval_s = interval_s
        self._client: Client | None = None
        self._used: dict[str, datetime] = {}
        self._noted: dict[str, datetime] = {}
        self.keys: Mapping[str, ApiKey] = {}
        self.read_at: float | None = None
        self.error = "not read yet"

    def find(self, presented: Presented) -> ApiKey | None:
        """The key on record whose secret was shown, used up or not; None when there is none such."""
        key = self.keys.get(presented.key_id)
        if key is None or not hmac.compare_digest(key.secret_hash, presented.secret_hash):
            return None
        return key

    def used(self, key: ApiKey, now: datetime) -> None:
        """Remember a use, for :func:`assay.warehouse.api_keys.last_used`."""
        self._used[key.key_id] = now

    async def refresh(self) -> None:
        """Read now; what cannot be read leaves the keys as they are."""
        try:
            self.keys = await asyncio.to_thread(self._exchange)
        except (ClickHouseError, OSError) as error:
            self._client = None
            if not self.error:
                _log.warning("API keys: the last known ones stay in force: %s", error)
            self.error = str(error)[:200] or type(error).__name__
        else:
            self.read_at = time.monotonic()
            self.error = ""

    def _exchange(self) -> dict[str, ApiKey]:
        if self._client is None:
            self._client = connect(self._settings)
        found = {key.key_id: key for key in api_keys.read_all(self._client)}
        due = {
            key_id: at
            for key_id, at in list(self._used.items())
            if key_id not in self._noted or at - self._noted[key_id] >= USES_INTERVAL
        }
        if due:
            api_keys.note_uses(self._client, due)
            self._noted.update(due)
        return found

    async def run(self) -> None:
        """Read every :data:`INTERVAL_S` until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self._interval_s)

    def usable(self) -> int:
        """How many keys are neither revoked nor expired."""
        now = datetime.now(UTC)
        return sum(not key.refusal(now) for key in self.keys.values())

    @property
    def state(self) -> str:
        """One line for ``/readyz``."""
        if self.read_at is None:
            return f"not read yet: {self.error}"
        age = time.monotonic() - self.read_at
        tail = f"; the store is down: {self.error}" if self.error else ""
        return f"{self.usable()} in force, read {age:.0f} s ago{tail}"
