from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from assay.dashboard.store import Query, Store, StoreError
from assay.settings import Settings
from tests.support.processes import free_port
from tests.support.stores import ClickHouse


@pytest.fixture
def store(clickhouse: ClickHouse) -> Iterator[Store]:
    found = Store(Settings(clickhouse_url=clickhouse.url, clickhouse_database="default"))
    yield found
    found.close()


def test_answers_come_by_name(store: Store) -> None:
    queries = {str(n): Query("SELECT {n:Int64} AS n", {"n": n}) for n in range(20)}
    answers = asyncio.run(store.frames(queries))
    assert {name: int(frame["n"].iloc[0]) for name, frame in answers.items()} == {
        str(n): n for n in range(20)
    }


def test_an_empty_answer_has_its_columns(store: Store) -> None:
    (frame,) = asyncio.run(store.frames({"it": Query("SELECT 1 AS a, 'x' AS b WHERE 0")})).values()
    assert frame.empty
    assert list(frame.columns) == ["a", "b"]


def test_ping(store: Store) -> None:
    asyncio.run(store.ping())


def test_a_refused_query_is_told_as_such(store: Store) -> None:
    with pytest.raises(StoreError, match="refused a query of this screen"):
        asyncio.run(store.frames({"it": Query("SELECT nonsense")}))


def test_missing_rollups_are_told_with_the_fix(store: Store) -> None:
    with pytest.raises(StoreError, match="no rollups yet") as caught:
        asyncio.run(store.frames({"it": Query("SELECT * FROM llm_kpi_1min")}))
    assert "dbt build" in caught.value.fix


def test_missing_database_is_told_as_missing_rollups(clickhouse: ClickHouse) -> None:
    store = Store(Settings(clickhouse_url=clickhouse.url, clickhouse_database="nowhere"))
    with pytest.raises(StoreError, match="no rollups yet"):
        asyncio.run(store.ping())
    store.close()


def test_a_store_that_is_not_there_is_told_with_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    store = Store(Settings(clickhouse_url=url))
    with pytest.raises(StoreError, match="does not answer") as caught:
        asyncio.run(store.ping())
    assert url in str(caught.value)
    assert "ASSAY_CLICKHOUSE_URL" in caught.value.fix
    store.close()
