"""The same script with each client that the product uses: what one writes, all read."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import clickhouse_connect
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from tests.support.stores import ClickHouse

TABLE = """
CREATE TABLE kinds
(
    id UInt64,
    name LowCardinality(String),
    cost Nullable(Decimal(38, 12)),
    at DateTime64(6, 'UTC'),
    tags Array(String),
    units Map(String, Float64)
)
ENGINE = MergeTree ORDER BY id
"""
AT = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)
ROWS: list[tuple[Any, ...]] = [
    (1, "plain", Decimal("0.000000000001"), AT, ["a", "b"], {"image": 1.5}),
    (2, "quo'ted\n\t\\ ünïcode 🙂", None, AT, [], {}),
    (2**64 - 1, "", Decimal("12345678901234567890.5"), AT, [""], {"": 0.0}),
]
READ = "SELECT id, name, cost, at, tags, units FROM kinds ORDER BY id"


def sync(clickhouse: ClickHouse, database: str) -> list[tuple[Any, ...]]:
    with clickhouse.client(database) as client:
        client.command(TABLE)
        client.insert("kinds", ROWS)
        assert client.command("SELECT count() FROM kinds WHERE id = {id:UInt64}", parameters={"id": 2}) == 1
        with client.query_rows_stream(READ) as stream:
            return [tuple(row) for row in stream]


def asynchronous(clickhouse: ClickHouse, database: str) -> list[tuple[Any, ...]]:
    async def script() -> list[tuple[Any, ...]]:
        client = await clickhouse_connect.get_async_client(dsn=f"{clickhouse.url}/{database}")
        try:
            await client.command(TABLE)
            await client.insert("kinds", ROWS)
            one, result = await asyncio.gather(client.query("SELECT 1"), client.query(READ))
            assert one.result_rows == [(1,)]
            return list(result.result_rows)
        finally:
            await client.close()

    return asyncio.run(script())


def sqlalchemy(clickhouse: ClickHouse, database: str) -> list[tuple[Any, ...]]:
    engine = sa.create_engine(f"clickhousedb://127.0.0.1:{clickhouse.port}/{database}")
    try:
        with engine.begin() as connection:
            connection.execute(sa.text(TABLE))
            assert sa.inspect(engine).get_table_names() == ["kinds"]
            columns = {c["name"]: c["nullable"] for c in sa.inspect(engine).get_columns("kinds")}
            assert columns == {
                "id": False,
                "name": False,
                "cost": True,
                "at": False,
                "tags": False,
                "units": False,
            }
            with clickhouse.client(database) as client:
                client.insert("kinds", ROWS)
            found = connection.execute(
                sa.text("SELECT count() FROM kinds WHERE name = :name"), {"name": "plain"}
            )
            assert found.scalar_one() == 1
            return [tuple(row) for row in connection.execute(sa.text(READ))]
    finally:
        engine.dispose()


def arrow(clickhouse: ClickHouse, database: str) -> list[tuple[Any, ...]]:
    with clickhouse.client(database) as client:
        client.command(TABLE)
        schema = pa.schema(
            [
                ("id", pa.uint64()),
                ("name", pa.string()),
                ("cost", pa.decimal128(38, 12)),
                ("at", pa.timestamp("us", tz="UTC")),
                ("tags", pa.list_(pa.string())),
                ("units", pa.map_(pa.string(), pa.float64())),
            ]
        )
        columns = [pa.array(values, f.type) for values, f in zip(_columns(), schema, strict=True)]
        client.insert_arrow("kinds", pa.table(columns, schema=schema))
        table = client.query_arrow(READ, use_strings=True)
        return [
            (r["id"], r["name"], r["cost"], r["at"], r["tags"], dict(r["units"])) for r in table.to_pylist()
        ]


def _columns() -> list[list[Any]]:
    columns = [list(values) for values in zip(*ROWS, strict=True)]
    columns[-1] = [list(units.items()) for units in columns[-1]]
    return columns


@pytest.mark.parametrize("script", [sync, asynchronous, sqlalchemy, arrow])
def test_every_client_reads_what_was_written(
    clickhouse: ClickHouse, database: str, script: Callable[[ClickHouse, str], list[tuple[Any, ...]]]
) -> None:
    found = script(clickhouse, database)
    # Some clients give UTC times without a time zone, as their documentation says.
    assert [(*row[:3], row[3].replace(tzinfo=UTC), *row[4:]) for row in found] == ROWS


def test_pandas(clickhouse: ClickHouse, database: str) -> None:
    frame = pd.DataFrame(
        {
            "n": np.arange(100_000, dtype="uint32"),
            "x": np.linspace(0, 1, 100_000),
            "s": [f"row {n}" for n in range(100_000)],
            "at": pd.date_range("2024-01-01", periods=100_000, freq="s", tz="UTC"),
        }
    )
    with clickhouse.client(database) as client:
        client.command(
            "CREATE TABLE frame (n UInt32, x Float64, s String, at DateTime('UTC')) "
            "ENGINE = MergeTree ORDER BY n"
        )
        client.insert_df("frame", frame)
        found = client.query_df("SELECT * FROM frame ORDER BY n")
    assert (found["n"].to_numpy() == frame["n"].to_numpy()).all()
    assert (found["x"].to_numpy() == frame["x"].to_numpy()).all()
    assert list(found["s"]) == list(frame["s"])
    assert (pd.to_datetime(found["at"], utc=True) == frame["at"]).all()


def test_an_insert_of_many_blocks_is_stored_whole_and_once(clickhouse: ClickHouse, database: str) -> None:
    """clickhouse-connect cuts 100,000 rows into blocks and compresses each by itself."""
    with clickhouse.client(database) as client:
        client.command(
            "CREATE TABLE many (n UInt32, s String) ENGINE = MergeTree ORDER BY n "
            "SETTINGS non_replicated_deduplication_window = 100"
        )
        rows = [(n, "x" * 200) for n in range(100_000)]
        token = {"insert_deduplication_token": uuid.uuid4().hex}
        for _ in range(2):
            client.insert("many", rows, column_names=["n", "s"], settings=token)
        assert client.query("SELECT count(), sum(n), max(n) FROM many").result_rows == [
            (100_000, 4_999_950_000, 99_999)
        ]


def test_exceptions_reach_the_client_with_their_code(clickhouse: ClickHouse) -> None:
    with clickhouse.client() as client:
        with pytest.raises(DatabaseError, match=r"(?s)UNKNOWN_TABLE|code: 60"):
            client.query("SELECT * FROM nope")
        with pytest.raises(ClickHouseError, match="throwIf"):
            # The client reads a result when it is asked for rows.
            list(client.query("SELECT throwIf(number = 5000000) FROM numbers(10000000)").result_rows)
        assert client.query("SELECT 1").result_rows == [(1,)]


def test_sessions_of_a_client(clickhouse: ClickHouse) -> None:
    client = clickhouse_connect.get_client(dsn=clickhouse.url, session_id=uuid.uuid4().hex)
    try:
        client.command("CREATE TEMPORARY TABLE mine (n UInt8)")
        client.insert("mine", [[1], [2]], column_names=["n"])
        assert client.query("SELECT sum(n) FROM mine").result_rows == [(3,)]
    finally:
        client.close()


def test_sixteen_clients_at_once(clickhouse: ClickHouse, database: str) -> None:
    with clickhouse.client(database) as client:
        client.command(
            "CREATE TABLE together (client UInt8, n UInt32) ENGINE = MergeTree ORDER BY (client, n)"
        )
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with clickhouse.client(database) as client:
                for n in range(5):
                    client.insert("together", [[number, n]], column_names=["client", "n"])
                    found = client.query(f"SELECT count() FROM together WHERE client = {number}").result_rows
                    assert found == [(n + 1,)]
        except (AssertionError, DatabaseError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with clickhouse.client(database) as client:
        assert client.query("SELECT count() FROM together").result_rows == [(80,)]


def test_curl(clickhouse: ClickHouse, database: str) -> None:
    def curl(*arguments: str, data: bytes = b"") -> str:
        done = subprocess.run(
            ["curl", "-sS", "--fail-with-body", "--max-time", "20", *arguments],
            input=data,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode()

    url = f"{clickhouse.url}/?database={database}"
    curl(url, "--data-binary", "CREATE TABLE c (n UInt8, s String) ENGINE = MergeTree ORDER BY n")
    curl(f"{url}&query=INSERT%20INTO%20c%20FORMAT%20CSV", "--data-binary", "@-", data=b"1,one\n2,two\n")
    curl(url, "-H", "Transfer-Encoding: chunked", "-T", "-", data=b"INSERT INTO c VALUES (3, 'three')")
    assert curl(f"{url}&query=SELECT%20*%20FROM%20c%20ORDER%20BY%20n") == "1\tone\n2\ttwo\n3\tthree\n"
    assert curl("--compressed", f"{url}&enable_http_compression=1&query=SELECT%20sum(n)%20FROM%20c") == "6\n"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        curl(url, "--data-binary", "SELECT * FROM nope")
    assert refused.value.stdout.startswith(b"Code: 60. DB::Exception")
