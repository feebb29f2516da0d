from __future__ import annotations

import threading

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.processes import free_port


def test_it_uses_the_configured_database_or_another_or_none(migrated: Settings) -> None:
    with connect(migrated) as client:
        assert client.command("SELECT currentDatabase()") == migrated.clickhouse_database
    with connect(migrated, database="system") as client:
        assert client.command("SELECT currentDatabase()") == "system"
    with connect(migrated, database="") as client:
        assert client.command("SELECT currentDatabase()") == "default"


def test_it_sends_no_session_so_that_statements_run_side_by_side(migrated: Settings) -> None:
    with connect(migrated) as client:
        client.command("CREATE TEMPORARY TABLE mine (a UInt8)")
        assert client.command("EXISTS TEMPORARY TABLE mine") == 0
    order: list[str] = []

    def slow() -> None:
        with connect(migrated) as other:
            other.command("SELECT sleep(1)")
            order.append("slow")

    thread = threading.Thread(target=slow)
    thread.start()
    with connect(migrated) as client:
        client.command("SELECT 1")
        order.append("quick")
    thread.join()
    assert order == ["quick", "slow"]


@pytest.mark.parametrize("path", ["", "/", "/another"])
def test_the_database_of_the_settings_wins_over_a_path_of_the_url(migrated: Settings, path: str) -> None:
    settings = Settings(
        clickhouse_url=f"{migrated.clickhouse}{path}", clickhouse_database=migrated.clickhouse_database
    )
    with connect(settings) as client:
        assert client.command("SELECT currentDatabase()") == migrated.clickhouse_database


def test_a_store_that_is_not_there_is_an_error_that_names_it() -> None:
    port = free_port()
    with pytest.raises(ClickHouseError, match=str(port)):
        connect(Settings(clickhouse_url=f"http://127.0.0.1:{port}"))
