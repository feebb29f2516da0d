"""The prices by which the writer prices: looked at every few seconds, and found again for a rebuilt block."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import redis
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.pricing import store
from assay.pricing.listing import Listing
from assay.pricing.table import PriceTable

REFRESH_S: Final = 10.0
# Nothing is priced by what is noted, so that it need not be there at once.
_NOTE_S: Final = 60.0
# Rows are only ever added, but while dbt loads those of the project anew, there are none of them for a
# moment.
_AGAIN_S: Final = 1.0
# Longer than a block stays unfinished: a writer that is down over a long weekend.
_KEPT_S: Final = 7 * 86_400
_log = logging.getLogger("assay.writer")


def key(version: str) -> str:
    """Where the price table of that version is, for blocks that were begun with it."""
    return f"assay:writer:prices:{version}"


class PriceBook:
    """The price table as it was when last looked at.

    A block that is stored again after a crash has to cost what it did at first: part of it may be stored. So
    each table that blocks are begun with is kept beside the queue, and the block's note has its version.

    Args:
        queue: for the writer's thread alone.
    """

    def __init__(self, queue: redis.Redis) -> None:
        self._queue = queue
        self._table: PriceTable | None = None
        self._next = 0.0
        self._doubted = ""
        self._listing = Listing()
        self._next_note = 0.0

    def current(self, client: Client) -> PriceTable:
        """The prices to begin a block with.

        Raises:
            ClickHouseError: at the first look alone; later, what was last seen holds.
        """
        now = time.monotonic()
        if self._table is None or now >= self._next:
            self._next = now + REFRESH_S
            self._look(client)
        if now >= self._next_note:
            self._next_note = now + _NOTE_S
            self._note(client)
        assert self._table is not None
        return self._table

    def recall(self, version: str, client: Client) -> PriceTable:
        """The prices with which a block was begun."""
        if self._table is not None and self._table.version == version:
            return self._table
        packed: Any = self._queue.get(key(version))
        if packed is None:
            _log.warning("the prices %s of an unfinished block are gone: priced as of now", version)
            return self.current(client)
        return store.unpack(packed)

    def _note(self, client: Client) -> None:
        try:
            self._listing.note(client)
        except ClickHouseError as error:
            _log.warning("list prices not noted: %s", str(error).split("\n")[0][:500])

    def _look(self, client: Client) -> None:
        try:
            found = store.load(client, refused=lambda error: _log.warning("price table: %s", error))
        except ClickHouseError as error:
            if self._table is None:
                raise
            _log.warning("prices not refreshed: %s", str(error).split("\n")[0][:500])
            return
        fewer = self._table is not None and len(found.rows) < len(self._table.rows)
        if fewer and found.version != self._doubted:
            self._doubted = found.version
            self._next = time.monotonic() + _AGAIN_S
            return
        if self._table is None or found.version != self._table.version:
            self._table = found
            _log.info("%d rows of the price table are in force", len(found.rows))
        # With every look, so that the one in use never expires.
        self._queue.set(key(self._table.version), store.pack(self._table), ex=_KEPT_S)
