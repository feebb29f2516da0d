"""How the screens read ClickHouse: several queries at once, off the event loop, one client per thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from assay.settings import Settings
from assay.warehouse.client import connect

# What one refresh sends at once. The engine uses every core for each query, so more would only queue up
# there.
_THREADS = 6
# A screen that takes longer than this is of no use; the store gives up on it.
_MAX_SECONDS = 20
_UNKNOWN_TABLE, _UNKNOWN_DATABASE = 60, 81

T = TypeVar("T")


@dataclass(frozen=True)
class Query:
    """One SELECT and the values of its ``{name:Type}`` parameters."""

    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


class StoreError(Exception):
    """The store did not answer a query. ``str()`` says what happened, ``fix`` what to do about it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


class MissingTable(StoreError):
    """A table or view that a query reads is not there."""


class Store:
    """Reads of the screens. Connects on first use, in the thread that needs it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
        self._local = threading.local()

    async def frames(self, queries: Mapping[str, Query]) -> dict[str, pd.DataFrame]:
        """Answers of all ``queries``, run in parallel, by name.

        Raises:
            StoreError: a query has no answer.
        """
        answers = await asyncio.gather(*(self.run(_frame, query) for query in queries.values()))
        return dict(zip(queries, answers, strict=True))

    async def ping(self) -> None:
        """Return if the store answers.

        Raises:
            StoreError: it does not.
        """
        await self.run(_frame, Query("SELECT 1"))

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """``work(client, *arguments)`` in a thread, with that thread's client.

        Raises:
            StoreError: ClickHouse refused, failed or is not there.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._guarded, work, arguments)

    def close(self) -> None:
        """Wait for what runs and let the threads go."""
        self._threads.shutdown()

    def _guarded(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        try:
            if not hasattr(self._local, "client"):
                self._local.client = connect(self._settings)
            return work(self._local.client, *arguments)
        except ClickHouseError as error:
            raise self._explained(error) from error

    def _explained(self, error: ClickHouseError) -> StoreError:
        where = f"database `{self._settings.clickhouse_database}` at {self._settings.clickhouse}"
        code = getattr(error, "code", None)
        if code in (_UNKNOWN_TABLE, _UNKNOWN_DATABASE):
            return MissingTable(
                f"The store has no rollups yet ({where}).",
                "`assay up` creates them; on a store of your own run `dbt build` in dbt_project.",
            )
        if isinstance(error, DatabaseError) and code is not None:
            return StoreError(f"The store refused a query of this screen: {error}", "Its log says more.")
        return StoreError(
            f"The store does not answer ({where}).",
            "Check that it runs (`assay status`) and that ASSAY_CLICKHOUSE_URL is right. "
            "The screen goes on by itself once it answers.",
        )


def _frame(client: Client, query: Query) -> pd.DataFrame:
    # Arrow names and types the columns of an empty answer as well, which the Native format does not.
    table = client.query_arrow(
        query.sql, parameters=dict(query.parameters), settings={"max_execution_time": _MAX_SECONDS}
    )
    frame: pd.DataFrame = table.to_pandas()
    return frame
