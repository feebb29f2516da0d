from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from assay.settings import Settings
from assay.warehouse import retention
from assay.warehouse.client import connect
from assay.warehouse.retention import Class, RetentionError
from tests.support.databases import Databases
from tests.support.processes import answers, free_port, python, running, wait_for
from tests.support.rows import insert, span
from tests.support.stores import ClickHouse

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
AGES = {"hot": 1, "warm": 40, "cold": 200, "gone": 800}


@pytest.fixture
def client(migrated: Settings) -> Iterator[Client]:
    with connect(migrated) as found:
        yield found


def disks(client: Client, table: str) -> dict[str, int]:
    """Rows by disk."""
    rows = client.query(
        "SELECT disk_name, sum(rows) FROM system.parts WHERE database = currentDatabase() "
        "AND table = {table:String} AND active AND rows > 0 GROUP BY disk_name",
        parameters={"table": table},
    ).result_rows
    return {str(disk): int(count) for disk, count in rows}


def fill(client: Client) -> None:
    """A call of each age, and one of 2023 that was loaded today."""
    ages = [span(TODAY - timedelta(days=age), trace_id=name) for name, age in AGES.items()]
    backfill = span(datetime(2023, 11, 16, 18, tzinfo=UTC), trace_id="2023", retention_start=TODAY.date())
    # One by one: parts of different months, as the writer makes them.
    for row in (*ages, backfill):
        insert(client, "llm_traces", row)


def settle(client: Client, table: str) -> None:
    """What the store does in the background within hours, now."""
    client.command(f"OPTIMIZE TABLE {table} FINAL")


def test_parts_move_with_age_and_expire(client: Client) -> None:
    fill(client)
    changed = retention.apply(client, retention.load(None))
    assert set(changed) == set(retention.load(None).tables)
    settle(client, "llm_traces")
    wait_for(lambda: disks(client, "llm_traces").get("cold") == 1, "a part on the cold volume")
    assert disks(client, "llm_traces") == {"default": 2, "warm": 1, "cold": 1}
    left = client.query("SELECT trace_id FROM llm_traces ORDER BY trace_id").result_rows
    assert [trace for (trace,) in left] == ["2023", "cold", "hot", "warm"]


def test_what_arrives_old_is_stored_where_it_belongs(client: Client) -> None:
    retention.apply(client, retention.load(None))
    fill(client)
    settle(client, "llm_traces")
    assert disks(client, "llm_traces") == {"default": 2, "warm": 1, "cold": 1}
    # The index that a view fills is kept as long as what it points to.
    settle(client, "llm_span_index")
    assert disks(client, "llm_span_index") == {"default": 2, "warm": 1, "cold": 1}


def test_text_has_a_life_of_its_own(client: Client) -> None:
    retention.apply(client, retention.load(None))
    for age in (13, 15):
        start: date = (TODAY - timedelta(days=age)).date()
        insert(
            client,
            "llm_payloads",
            {
                "tenant_id": "org_1",
                "timestamp": TODAY,
                "trace_id": str(age),
                "span_id": "s",
                "input": "question",
                "output": "answer",
                "context": ["page"],
                "redactions": 0,
                "retention_start": start,
            },
        )
    settle(client, "llm_payloads")
    assert client.query("SELECT trace_id FROM llm_payloads").result_rows == [("13",)]


def test_rollups_outlive_raw_rows(built: Settings) -> None:
    with connect(built) as client:
        retention.apply(client, retention.load(None))
        fill(client)
        settle(client, "llm_traces")
        assert client.query("SELECT count() FROM llm_traces").result_rows == [(4,)]
        for rollup in ("llm_kpi_1h", "llm_kpi_1d"):
            settle(client, rollup)
            assert client.query(f"SELECT sum(request_count) FROM {rollup}").result_rows == [(5,)], rollup


def test_applied_twice_nothing_changes(client: Client) -> None:
    policy = retention.load(None)
    assert retention.apply(client, policy)
    assert retention.apply(client, policy) == []
    assert all(kept.ttl == kept.wanted for kept in retention.show(client, policy))


def test_a_changed_file_changes_its_tables_alone(client: Client, tmp_path: Path) -> None:
    shipped = retention.load(None)
    retention.apply(client, shipped)
    fill(client)
    shorter = shipped.model_copy(update={"classes": {**shipped.classes, "text": Class(delete_after_days=3)}})
    assert retention.apply(client, shorter) == ["llm_payloads"]
    kept = {kept.table: kept for kept in retention.show(client, shorter)}
    assert kept["llm_payloads"].ttl == "retention_start + toIntervalDay(3)"
    assert kept["llm_traces"].storage_policy == "assay"
    assert sum(kept["llm_traces"].bytes_by_disk.values()) > 0


def test_without_storage_rows_only_expire(client: Client) -> None:
    policy = retention.load(None).model_copy(update={"storage": None})
    fill(client)
    retention.apply(client, policy)
    settle(client, "llm_traces")
    assert disks(client, "llm_traces") == {"default": 4}
    kept = {kept.table: kept for kept in retention.show(client, policy)}
    assert kept["llm_traces"].ttl == "retention_start + toIntervalDay(730)"


@pytest.mark.parametrize(
    "storage, message",
    [
        (
            {"policy": "tiered", "warm": "warm", "cold": "cold"},
            "lacks a storage policy 'tiered'.*has the file",
        ),
        (
            {"policy": "assay", "warm": "warm", "cold": "glacier"},
            "lacks volumes glacier of its",
        ),
    ],
)
def test_a_store_without_the_volumes_is_left_alone(
    client: Client, storage: dict[str, str], message: str
) -> None:
    policy = retention.load(None).model_copy(update={"storage": retention.Storage(**storage)})
    with pytest.raises(RetentionError, match=message):
        retention.apply(client, policy)
    assert {kept.ttl for kept in retention.show(client, policy)} == {""}


def test_a_table_without_a_start_is_refused(client: Client) -> None:
    shipped = retention.load(None)
    for table, message in (("tenants", "no retention_start"), ("traces", "no such table")):
        policy = shipped.model_copy(update={"tables": {table: "raw"}})
        with pytest.raises(RetentionError, match=f"tables.{table}: .*{message}"):
            retention.apply(client, policy)


@pytest.mark.parametrize(
    "text, message",
    [
        ("storage: null\nclasses: {}\ntables: {llm_traces: raw}\n", "no class 'raw'"),
        ("storage: null\nclasses: {raw: {}}\ntables: {}\n", "classes.raw: needs at least one of"),
        ("storage: null\nclasses: {raw: {keep: 3}}\ntables: {}\n", "classes.raw.keep: Extra inputs"),
        (
            "storage: null\nclasses: {raw: {delete_after_days: 0}}\ntables: {}\n",
            "delete_after_days: Input should be greater",
        ),
        ("storage: null\nclasses: {}\ntables: {'x; DROP TABLE y': raw}\n", "String should match pattern"),
        ("{", "not YAML"),
    ],
)
def test_a_bad_file_is_refused_by_field(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "retention.yml"
    file.write_text(text)
    with pytest.raises(RetentionError, match=message) as caught:
        retention.load(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RetentionError, match="ASSAY_RETENTION_FILE"):
        retention.load(tmp_path / "none.yml")


@given(st.lists(st.integers(1, 1000), min_size=3, max_size=3))
def test_ages_rise(days: list[int]) -> None:
    ages = dict(zip(("warm_after_days", "cold_after_days", "delete_after_days"), days, strict=True))
    if days[0] < days[1] < days[2]:
        assert Class(**ages).delete_after_days == days[2]
    else:
        with pytest.raises(ValidationError, match="must hold"):
            Class(**ages)


def test_cold_parts_lie_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s3, store = free_port(), free_port()
    for name, value in {
        "ASSAY_COLD_S3_ENDPOINT": f"http://127.0.0.1:{s3}/traces/assay",
        "ASSAY_COLD_S3_ACCESS_KEY_ID": "key",
        "ASSAY_COLD_S3_SECRET_ACCESS_KEY": "secret",
        "ASSAY_COLD_S3_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    moto = [*python("moto.server"), "-H", "127.0.0.1", "-p", str(s3)]
    argv = python("assay.warehouse.embedded", "--data-dir", str(tmp_path), "--port", str(store))
    with running(moto, ready=answers(f"http://127.0.0.1:{s3}/moto-api/"), log=tmp_path / "moto.txt"):
        bucket = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{s3}",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        bucket.create_bucket(Bucket="traces")
        url = f"http://127.0.0.1:{store}"
        with (
            running(argv, ready=answers(f"{url}/ping"), log=tmp_path / "store.txt"),
            Databases.migrated(ClickHouse(url, store, tmp_path)).lend() as settings,
            connect(settings) as client,
        ):
            retention.apply(client, retention.load(None))
            fill(client)
            settle(client, "llm_traces")
            wait_for(lambda: disks(client, "llm_traces").get("cold") == 1, "a part on the cold volume")
            objects = bucket.list_objects_v2(Bucket="traces", Prefix="assay/")["KeyCount"]
            assert objects > 0
            assert client.query("SELECT trace_id FROM llm_traces ORDER BY trace_id").result_rows == [
                ("2023",),
                ("cold",),
                ("hot",),
                ("warm",),
            ]
        # The key is in the engine's configuration: for its owner alone.
        assert (tmp_path / "clickhouse.xml").stat().st_mode & 0o077 == 0
