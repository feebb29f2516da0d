"""Killed between an insert's token and its part, the engine must take the repeated insert."""

from __future__ import annotations

import shutil
from pathlib import Path

import clickhouse_connect
import pytest

from assay.warehouse.embedded.deduplication import forget_unfinished
from tests.support.processes import answers, free_port, python, running

_TOKEN = {"insert_deduplication_token": "block-1", "deduplicate_blocks_in_dependent_materialized_views": 1}


def test_an_insert_that_was_killed_before_its_part_is_taken_again(tmp_path: Path) -> None:
    port = free_port()
    argv = python("assay.warehouse.embedded", "--data-dir", str(tmp_path), "--port", str(port))
    url = f"http://127.0.0.1:{port}"

    def insert_and_count() -> list[int]:
        with (
            running(argv, ready=answers(f"{url}/ping"), log=tmp_path / "log"),
            clickhouse_connect.get_client(dsn=f"{url}/default", autogenerate_session_id=False) as client,
        ):
            for table in ("calls", "sums"):
                client.command(
                    f"CREATE TABLE IF NOT EXISTS {table} (n Int64) ENGINE = MergeTree ORDER BY n "
                    "SETTINGS non_replicated_deduplication_window = 100"
                )
            client.command(
                "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO sums AS SELECT sum(n) AS n FROM calls"
            )
            client.insert("calls", [[1], [2]], column_names=["n"], settings=_TOKEN)
            return [int(client.command(f"SELECT sum(n) FROM {table}")) for table in ("calls", "sums")]

    assert insert_and_count() == [3, 3]
    assert insert_and_count() == [3, 3]
    # What a kill leaves: the token is written, the part of the rollup is not in its place yet.
    (rollup,) = (part for part in _parts(tmp_path) if not _holds_two_rows(part))
    shutil.rmtree(rollup)
    assert insert_and_count() == [3, 3]


def _parts(data_dir: Path) -> list[Path]:
    return list(data_dir.glob("clickhouse/store/*/*/all_1_1_0"))


def _holds_two_rows(part: Path) -> bool:
    return (part / "count.txt").read_text() == "2"


@pytest.mark.parametrize(
    ("log", "parts", "kept"),
    [
        ("1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n", ["all_1_1_0", "all_2_2_0"], 2),
        ("1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n", ["all_1_1_0"], 1),
        ("1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n", ["all_1_1_0", "tmp_insert_all_2_2_0"], 1),
        # Merged with others since, or changed by a mutation.
        ("1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n", ["all_1_2_1"], 2),
        ("1\t202611-0_7_7_1\ta\n", ["202611-0_1_9_2_11"], 1),
        ("1\t202611-0_7_7_1\ta\n", ["202611-1_1_9_2"], 0),
        # Earlier entries may speak of parts that are long gone.
        ("1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n", ["all_2_2_0"], 2),
        # Only an entry that adds a part can be unfinished.
        ("1\tall_1_1_0\ta\n2\tall_1_1_0\ta\n", [], 2),
        ("1\tall_1_1_0\ta\n1\tall_2", ["all_1_1_0"], 1),
        ("", [], 0),
    ],
)
def test_only_an_unfinished_last_entry_goes(tmp_path: Path, log: str, parts: list[str], kept: int) -> None:
    table = tmp_path / "store" / "abc" / "abcdef"
    file = table / "deduplication_logs" / "deduplication_log_1.txt"
    file.parent.mkdir(parents=True)
    file.write_text(log)
    for part in parts:
        (table / part).mkdir()
    changed = forget_unfinished(tmp_path)
    assert file.read_text() == "".join(log.splitlines(keepends=True)[:kept])
    assert changed == (file.read_text() != log)


def test_of_several_logs_the_newest_counts(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "abc" / "abcdef" / "deduplication_logs"
    folder.mkdir(parents=True)
    (folder / "deduplication_log_9.txt").write_text("1\tall_8_8_0\ta\n")
    (folder / "deduplication_log_10.txt").write_text("1\tall_9_9_0\tb\n")
    assert forget_unfinished(tmp_path) == 1
    assert (folder / "deduplication_log_9.txt").read_text() == "1\tall_8_8_0\ta\n"
    assert (folder / "deduplication_log_10.txt").read_text() == ""


def test_sync_reaches_the_tables(tmp_path: Path) -> None:
    port = free_port()
    argv = python("assay.warehouse.embedded", "--data-dir", str(tmp_path), "--port", str(port), "--sync")
    url = f"http://127.0.0.1:{port}"
    with (
        running(argv, ready=answers(f"{url}/ping"), log=tmp_path / "log"),
        clickhouse_connect.get_client(dsn=f"{url}/default", autogenerate_session_id=False) as client,
    ):
        rows = client.query(
            "SELECT name, value FROM system.merge_tree_settings WHERE name LIKE 'fsync%' AND value = '1'"
        ).result_rows
        assert {name for name, _ in rows} == {"fsync_after_insert", "fsync_part_directory"}
