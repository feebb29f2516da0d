"""The numbered schema: applied once, in order, safe to rerun, never silently different."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from assay.collector.writer.store import Store, Stored
from assay.settings import Settings
from assay.warehouse import migrations as module
from assay.warehouse.client import connect
from assay.warehouse.migrations import Migration, MigrationError, apply, migrate, migrations
from tests.support.rows import insert, span
from tests.support.stores import ClickHouse


@pytest.fixture
def client(migrated: Settings) -> Iterator[Client]:
    with connect(migrated) as found:
        yield found


def recorded(client: Client) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = client.query(
        "SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number"
    ).result_rows
    return rows


def another(number: int, *statements: str) -> Migration:
    """A migration that is not shipped."""
    return Migration(number, f"test_{number}", statements, f"checksum-{number}")


def test_files_are_numbered_without_gaps_and_every_statement_can_run_again() -> None:
    found = migrations()
    assert [m.number for m in found] == list(range(1, len(found) + 1))
    for migration in found:
        for statement in migration.statements:
            repeatable = any(
                words in statement.upper()
                for words in ("IF NOT EXISTS", "OR REPLACE", "IF EXISTS", "MODIFY ", "MATERIALIZE ")
            )
            assert repeatable, f"{migration.number:04}_{migration.name}: {statement[:80]}"


def test_everything_is_recorded_with_its_checksum(client: Client) -> None:
    assert recorded(client) == [(m.number, m.name, m.checksum) for m in migrations()]


def test_a_second_run_applies_nothing_and_keeps_rows(migrated: Settings, client: Client) -> None:
    client.insert("human_labels", [["t1", 0.5]], column_names=["trace_id", "score"])
    before = client.query(
        "SELECT name, uuid FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    assert migrate(migrated) == []
    assert sorted(before) == sorted(
        client.query("SELECT name, uuid FROM system.tables WHERE database = currentDatabase()").result_rows
    )
    assert client.query("SELECT count() FROM human_labels").result_rows == [(1,)]


def test_a_crash_halfway_is_repaired_by_running_again(client: Client) -> None:
    number = len(migrations()) + 1
    first = "CREATE TABLE IF NOT EXISTS one (a UInt8) ENGINE = MergeTree ORDER BY a"
    second = "CREATE TABLE IF NOT EXISTS two (a UInt8) ENGINE = MergeTree ORDER BY a"
    crashing = another(number, first, "SELECT throwIf(1, 'crash')", second)
    with pytest.raises(DatabaseError, match="crash"):
        apply(client, [*migrations(), crashing])
    assert client.query("EXISTS one").result_rows == [(1,)]
    assert [row[0] for row in recorded(client)] == list(range(1, number))
    client.insert("one", [[7]])

    repaired = replace(crashing, statements=(first, second))
    assert apply(client, [*migrations(), repaired]) == [repaired]
    assert client.query("SELECT a FROM one").result_rows == [(7,)]
    assert client.query("EXISTS two").result_rows == [(1,)]


def test_only_what_is_new_is_applied(client: Client) -> None:
    number = len(migrations()) + 1
    new = [
        another(n, f"CREATE TABLE IF NOT EXISTS t{n} (a UInt8) ENGINE = MergeTree ORDER BY a")
        for n in (number, number + 1)
    ]
    assert apply(client, [*migrations(), new[0]]) == [new[0]]
    assert apply(client, [*migrations(), *new]) == [new[1]]


def test_rows_of_an_earlier_version_say_what_its_columns_meant(
    clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored before responses were known and capacity had weights: only parents were not counted."""
    settings = Settings(clickhouse_url=clickhouse.url, clickhouse_database=f"test_{uuid.uuid4().hex[:12]}")
    shipped = migrations()
    with monkeypatch.context() as earlier:
        earlier.setattr(module, "migrations", lambda: shipped[:13])
        migrate(settings)
    try:
        with connect(settings) as client:
            now = datetime.now(UTC)
            insert(client, "llm_traces", span(now, trace_id="a"), span(now, trace_id="b", billed=False))
            insert(client, "provider_contracts", {"contract_id": "c", "provider": "azure.ai.openai"})
            assert migrate(settings) == shipped[13:]
            # As the writer reads a row that it takes out of the count.
            where = [
                Stored("org_1", "claude-sonnet-4-5", "rag-v1", time, trace, hashed)
                for time, trace, hashed in client.query(
                    "SELECT toUnixTimestamp64Micro(timestamp), xxh3(trace_id), xxh3(span_id) FROM llm_traces"
                ).result_rows
            ]
            rows = Store(client).trace_rows(where).sort_by("trace_id")
            names = ("response_id", "billed", "unbilled_reason")
            assert [tuple(row[n] for n in names) for row in rows.to_pylist()] == [
                ("", True, ""),
                ("", False, "parent"),
            ]
            weights = "SELECT output_weight, cache_read_weight FROM provider_contracts"
            assert client.query(weights).result_rows == [(1, 1)]
    finally:
        with clickhouse.client() as client:
            client.command(f"DROP DATABASE `{settings.clickhouse_database}` SYNC")


def test_outcomes_from_before_tenants_are_nobodys(
    clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(clickhouse_url=clickhouse.url, clickhouse_database=f"test_{uuid.uuid4().hex[:12]}")
    every = migrations()
    monkeypatch.setattr(module, "migrations", lambda: [m for m in every if m.number < 18])
    migrate(settings)
    old = {"trace_id": "t1", "event": "conversion", "timestamp": datetime(2026, 1, 5, tzinfo=UTC)}
    with connect(settings) as client:
        client.insert("business_outcomes", [list(old.values())], column_names=list(old))
        monkeypatch.undo()
        assert migrate(settings)[0].name == "outcome_tenants"
        found = client.query("SELECT tenant_id, trace_id, event FROM business_outcomes").result_rows
        client.command(f"DROP DATABASE `{settings.clickhouse_database}`")
    assert found == [("", "t1", "conversion")]


def test_a_file_that_changed_after_it_was_applied_is_refused(client: Client) -> None:
    shipped = migrations()
    changed = [replace(shipped[0], checksum="another"), *shipped[1:]]
    with pytest.raises(MigrationError, match=r"0001_telemetry was changed after it was applied; restore it"):
        apply(client, changed)


def test_a_store_of_a_newer_version_is_refused(client: Client) -> None:
    with pytest.raises(MigrationError, match=r"written by a newer version of Assay; upgrade this one"):
        apply(client, migrations()[:-1])


def test_comments_do_not_count_as_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def read(text: str) -> Migration:
        (tmp_path / "0001_first.sql").write_text(text)
        (found,) = migrations()
        return found

    monkeypatch.setattr(module.resources, "files", lambda _: tmp_path)
    plain = read("CREATE TABLE a (x UInt8) ENGINE = Memory;\n")
    commented = read("-- Why.\nCREATE TABLE a (x UInt8) ENGINE = Memory;\n-- And how; or not;\n")
    other = read("CREATE TABLE a (x UInt16) ENGINE = Memory;\n")
    assert plain.statements == commented.statements == ("CREATE TABLE a (x UInt8) ENGINE = Memory",)
    assert plain.checksum == commented.checksum != other.checksum


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0001_a.sql", "0003_c.sql"], r"numbered 1, 2, 3, …; found \[1, 3\]"),
        (["0001_a.sql", "0001_b.sql"], r"found \[1, 1\]"),
        (["0002_b.sql"], r"found \[2\]"),
    ],
)
def test_wrong_numbers_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, names: list[str], message: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;\n")
    monkeypatch.setattr(module.resources, "files", lambda _: tmp_path)
    with pytest.raises(MigrationError, match=message):
        migrations()


def test_statements_end_at_the_end_of_a_line_and_other_files_are_no_migrations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1;\nSELECT 'a;b';\n")
    (tmp_path / "__init__.py").write_text("")
    monkeypatch.setattr(module.resources, "files", lambda _: tmp_path)
    (only,) = migrations()
    assert only.statements == ("SELECT 1", "SELECT 'a;b'")
    (tmp_path / "2-b.sql").write_text("SELECT 1;\n")
    with pytest.raises(MigrationError, match=r"2-b\.sql: a migration is named NNNN_name\.sql"):
        migrations()
