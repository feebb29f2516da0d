"""``assay otel backfill`` from the exporter's table to the rollups: once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner, Result

from assay.cli.loading import WRITER_STATUS
from assay.cli.main import app
from assay.settings import Settings, load_settings
from assay.warehouse import retention
from assay.warehouse.client import connect
from tests.assay.collector.otel_traces.conftest import Source
from tests.support import otel_exporter, rows
from tests.support.otel_exporter import row
from tests.support.processes import wait_for
from tests.support.stores import Valkey

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
PERIOD = ("--since", "2026-03-01T00:00:00Z", "--until", "2026-03-04T00:00:00Z")


@pytest.fixture
def source(built: Settings, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    """A table beside the store, a writer that runs, and the command that finds both in the environment."""
    url = valkey.url.rsplit("/", 1)[0] + "/9"
    table = f"{built.clickhouse_database}.otel_traces"
    monkeypatch.setenv("ASSAY_CLICKHOUSE_URL", built.clickhouse)
    monkeypatch.setenv("ASSAY_CLICKHOUSE_DATABASE", built.clickhouse_database)
    monkeypatch.setenv("ASSAY_REDIS_URL", url)
    monkeypatch.setenv("ASSAY_OTEL_TRACES_TABLE", table)
    load_settings.cache_clear()
    settings = load_settings()
    with redis.Redis.from_url(url) as queue, connect(settings) as store:
        queue.flushdb()
        found = Source(settings, queue, store)
        otel_exporter.create(store, table)
        with found.running():
            wait_for(lambda: queue.hexists(WRITER_STATUS, "at"), "a writer")
            yield found
        queue.flushdb()
    load_settings.cache_clear()


def backfill(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["otel", "backfill", *arguments])


def counted(*arguments: str) -> dict[str, Any]:
    done = backfill(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_period_is_taken_over_once(source: Source) -> None:
    """Beside what the live bridge takes, again, and with calls that come late for it."""
    source.store.insert("tenants", [["org_1", "full"]], column_names=["tenant_id", "capture"])
    text = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "I am me@example.com"}
    bad = {"SpanAttributes": {"gen_ai.usage.input_tokens": "many"}}
    source.insert(
        *(row(FIRST + timedelta(minutes=n), n) for n in range(50)),
        row(FIRST, 60, SpanAttributes=text),
        row(FIRST, 61, **bad),
        row(FIRST, 62, SpanAttributes={"gen_ai.operation.name": "execute_tool"}),
        row(FIRST - timedelta(seconds=1), 63),
        row(FIRST + timedelta(days=3), 64),
    )
    found = counted(*PERIOD)
    assert [found[name] for name in ("rows", "accepted", "duplicates", "skipped", "rejected")] == [
        *(53, 51, 0, 1, 1)
    ]
    assert found["complete"]
    ((field, count),) = [(reason["field"], reason["count"]) for reason in found["reasons"]]
    assert (field, count) == ("tokens.prompt", 1)
    source.assert_exact(51)
    # 1,000 tokens at 3 USD a million and 100 at 15.
    assert source.one("SELECT sum(cost_usd) FROM llm_kpi_1d") == (51 * Decimal("0.0045"),)
    ((said,),) = source.rows("SELECT input FROM llm_payloads WHERE input != ''")
    assert "[redacted:email]" in said
    # History, and not due to be dropped: its days count from today.
    assert source.one("SELECT DISTINCT source, retention_start = today() FROM llm_traces") == (
        "otel_traces",
        True,
    )
    # Again, with a call that came late for the period.
    source.insert(row(FIRST + timedelta(hours=1), 70))
    again = backfill(*PERIOD)
    assert again.exit_code == 0
    words = " ".join(again.stdout.split())
    assert "54 rows read 1 calls accepted 51 calls that were there already" in words
    assert "1 rejected, 1 of them by an earlier run" in words
    source.assert_exact(52)
    assert source.one("SELECT count() FROM ingest_rejects") == (1,)


def test_what_the_bridge_took_counts_once(source: Source) -> None:
    now = datetime.now(UTC)
    source.insert(*(row(now - timedelta(hours=n), n) for n in range(1, 20)))
    assert source.bridge().accepted == 19
    source.wait_empty()
    since = (now - timedelta(days=1)).isoformat()
    found = counted("--since", since)
    assert (found["accepted"], found["duplicates"]) == (0, 19)
    source.assert_exact(19)


def test_a_killed_run_goes_on_where_it_was(source: Source, tmp_path: Path) -> None:
    """60,000 rows, killed on the way; then Ctrl-C; then to the end."""
    source.store.command(
        f"INSERT INTO {source.table} (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, "
        "SpanAttributes, Duration, StatusCode) SELECT toDateTime64('2026-03-01 00:00:00', 9, 'UTC') "
        "+ number * 4, lower(hex(MD5(toString(number)))), "
        "substring(lower(hex(MD5(toString(number)))), 1, 16), 'chat', 'Client', 'shop', "
        "if(number % 2 = 0, map('gen_ai.operation.name', 'chat', 'gen_ai.request.model', 'gpt-4o-mini', "
        "'gen_ai.usage.input_tokens', '100', 'gen_ai.usage.output_tokens', '10'), "
        "map('http.request.method', 'GET')), 1000000, 'Ok' FROM numbers(60000)"
    )
    command = [sys.executable, "-m", "assay.cli.main", "otel", "backfill", *PERIOD]

    def begun() -> bool:
        return bool(source.queue.keys("assay:otel:backfill:*"))

    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ.copy())
        wait_for(lambda: begun() or process.poll() is not None, "a mark", 60)
        process.kill()
        process.wait()
        (key,) = source.queue.keys("assay:otel:backfill:*")
        mark = source.queue.get(key)
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, env=os.environ.copy(), text=True
        )
        wait_for(lambda: source.queue.get(key) != mark or process.poll() is not None, "the next mark", 60)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    # On a fast machine it may have been done before.
    assert process.returncode in (0, 130)
    if process.returncode == 130:
        assert "goes on from there" in " ".join(said.split())
        assert begun()
    assert counted(*PERIOD)["complete"]
    assert "An earlier run had come to 2026-03-0" in " ".join((tmp_path / "log.txt").read_text().split())
    assert not begun()
    source.assert_exact(30_000)
    found = counted(*PERIOD)
    assert (found["rows"], found["accepted"], found["duplicates"]) == (60_000, 0, 30_000)


def test_days_whose_raw_rows_are_gone_are_refused(source: Source) -> None:
    source.insert(*(row(FIRST + timedelta(days=day), day) for day in range(3)))
    assert counted(*PERIOD)["accepted"] == 3
    # Of the first day, raw rows have expired; those of the second are due: nobody loaded them.
    source.store.command("ALTER TABLE llm_traces DELETE WHERE toDate(timestamp) = '2026-03-01'")
    old = FIRST - timedelta(days=800)
    rows.insert(source.store, "llm_traces", rows.span(old))
    refused = backfill(*PERIOD)
    assert refused.exit_code == 1
    assert "calls of 2026-03-01 were counted" in refused.output
    assert "--since 2026-03-02T00:00:00Z" in refused.output
    due = backfill("--since", (old - timedelta(days=1)).isoformat(), "--until", "2026-03-01T00:00:00Z")
    assert f"calls of {old.date()} were counted" in due.output
    assert counted("--since", "2026-03-02T00:00:00Z", "--until", "2026-03-04T00:00:00Z")["duplicates"] == 2
    # Kept for good, nothing is ever forgotten.
    policy = retention.load(None)
    kept = policy.model_copy(update={"tables": {}})
    assert retention.forgotten(source.store, policy, old.date(), old.date()) == old.date()
    assert retention.forgotten(source.store, kept, old.date(), old.date()) is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--since", "2026-03-01"), "no time zone: write 2026-03-01T00:00:00Z for UTC"),
        (("--since", "2026-03-01T00:00:00Z", "--until", "2026-03-01T01:00:00"), "--until"),
        (("--since", "soon"), "--since 'soon'"),
        (("--since", "2026-03-01T02:00:00+02:00", "--until", "2026-03-01T00:00:00Z"), "before --until"),
    ],
)
def test_moments_that_cannot_be_are_named(arguments: tuple[str, ...], named: str) -> None:
    done = backfill(*arguments)
    assert done.exit_code == 2
    assert named in " ".join(done.output.replace("│", " ").split())


def test_without_a_table_or_a_writer_the_way_out_is_named(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_OTEL_TRACES_TABLE", "otel.nowhere")
    load_settings.cache_clear()
    assert "there is no table otel.nowhere" in backfill(*PERIOD).output
    monkeypatch.delenv("ASSAY_OTEL_TRACES_TABLE")
    load_settings.cache_clear()
    assert "ASSAY_OTEL_TRACES_TABLE is not set" in backfill(*PERIOD).output
