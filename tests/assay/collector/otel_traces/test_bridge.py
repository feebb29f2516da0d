"""From the exporter's table into the store: the same calls as over OTLP, each once, whenever they come."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from assay.collector.otel_traces.table import TableError
from tests.assay.collector.otel_traces.conftest import Source
from tests.support import otel_exporter
from tests.support.otel_exporter import row
from tests.support.otel_traffic import traffic
from tests.support.processes import answers, free_port, python, running, start, wait_for
from tests.support.writing import NOW


def of_another_trace(request: ExportTraceServiceRequest) -> ExportTraceServiceRequest:
    """The same spans, to the nanosecond, under another trace id."""
    copy = ExportTraceServiceRequest()
    copy.CopyFrom(request)
    for resource in copy.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                span.trace_id = bytes(byte ^ 0xFF for byte in span.trace_id)
    return copy


def send(source: Source, log: Path, *requests: ExportTraceServiceRequest) -> None:
    """Over OTLP, to a collector of its own."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = source.settings
    env = {
        "ASSAY_COLLECTOR_PORT": str(port),
        "ASSAY_REDIS_URL": settings.redis,
        "ASSAY_CLICKHOUSE_URL": settings.clickhouse,
        "ASSAY_CLICKHOUSE_DATABASE": settings.clickhouse_database,
    }
    with running(python("assay.collector"), ready=answers(f"{url}/readyz"), log=log, env=env):
        for request in requests:
            answer = httpx.post(
                f"{url}/v1/traces",
                content=request.SerializeToString(),
                headers={"Content-Type": "application/x-protobuf"},
                trust_env=False,
            )
            assert answer.status_code == 200


def stored(source: Source, table: str, trace_id: str) -> list[dict[str, Any]]:
    """Rows of a trace, without what tells where they came from."""
    found = source.store.query(
        f"SELECT * FROM {table} FINAL WHERE trace_id = {{id:String}} ORDER BY span_id, timestamp"
        if table == "llm_traces"
        else f"SELECT * FROM {table} WHERE trace_id = {{id:String}} ORDER BY span_id",
        parameters={"id": trace_id},
    ).named_results()
    apart = {"trace_id", "source", "ingest_id", "ingested_at"}
    return [{name: value for name, value in row.items() if name not in apart} for row in found]


@pytest.mark.parametrize("text", [False, True], ids=["no text", "text kept"])
def test_the_same_spans_make_the_same_rows_as_over_otlp(source: Source, tmp_path: Path, text: bool) -> None:
    if text:
        source.store.insert("tenants", [["org_7", "full"]], column_names=["tenant_id", "capture"])
    request = traffic()
    other = of_another_trace(request)
    ids = [r.resource_spans[0].scope_spans[0].spans[0].trace_id.hex() for r in (request, other)]
    otel_exporter.export(source.store, source.table, request)
    totals = source.bridge()
    assert (totals.accepted, totals.rejected, totals.ignored) == (5, 1, 1)
    send(source, tmp_path / "log.txt", other)
    source.drain()
    from_table, over_otlp = (stored(source, "llm_traces", id_) for id_ in ids)
    assert from_table == over_otlp
    assert len(from_table) == 5
    assert [row["billed"] for row in from_table].count(False) == 1
    assert all(row["cost_usd"] is not None for row in from_table)
    payloads = [stored(source, "llm_payloads", id_) for id_ in ids]
    assert payloads[0] == payloads[1]
    assert len(payloads[0]) == (4 if text else 0)
    rejects = source.rows("SELECT source, field, reason FROM ingest_rejects ORDER BY source")
    assert [row[0] for row in rejects] == ["otel_traces", "otlp"]
    assert rejects[0][1:] == rejects[1][1:]
    if text:
        return

    # The same calls again, by the other way, and by the same: each counts once.
    send(source, tmp_path / "again.txt", request)
    otel_exporter.export(source.store, source.table, request, other)
    source.bridge()
    source.drain()
    assert stored(source, "llm_traces", ids[0]) == from_table
    assert stored(source, "llm_traces", ids[1]) == over_otlp
    source.assert_exact(10, billed=8)


def test_late_rows_merges_and_restarts(source: Source) -> None:
    # There before the bridge: last week's is taken, what is older is history and nobody's mistake.
    bad = {"SpanAttributes": {"gen_ai.usage.input_tokens": "many"}}
    source.insert(
        *(row(NOW - timedelta(days=1), n) for n in range(20)),
        *(row(NOW - timedelta(days=8), n) for n in range(100, 110)),
        row(NOW - timedelta(hours=1), 50, **bad),
        row(NOW, 51, SpanAttributes={"gen_ai.operation.name": "execute_tool"}),
    )
    totals = source.bridge()
    assert (totals.accepted, totals.rejected, totals.ignored) == (20, 1, 1)
    assert source.bridge().rows == 0
    # Of the same days, later: six days late, and too late.
    source.insert(row(NOW - timedelta(days=1), 20), row(NOW - timedelta(days=6), 21))
    source.insert(row(NOW - timedelta(days=8), 22))
    totals = source.bridge()
    assert (totals.accepted, totals.rejected) == (2, 1)
    # A merge of what was read with what was not: old rows, and the unreadable one, are met again.
    source.insert(row(NOW - timedelta(days=1), 23), row(NOW - timedelta(days=8), 24))
    source.insert(row(NOW - timedelta(hours=1), 52, **bad))
    source.drain()
    source.store.command(f"OPTIMIZE TABLE {source.table} FINAL")
    totals = source.bridge()
    assert totals.rows > 20
    assert totals.rejected == 1
    assert source.bridge().rows == 0
    # Progress is lost: everything is read again.
    source.drain()
    source.queue.delete(*source.queue.keys("assay:otel:*"))
    source.bridge()
    source.drain()
    source.assert_exact(23)
    assert source.rows("SELECT field, count() FROM ingest_rejects GROUP BY field ORDER BY field") == [
        ("timestamp", 1),
        ("tokens.prompt", 2),
    ]
    # Made anew under its name, its numbers begin again.
    source.store.command(f"DROP TABLE {source.table} SYNC")
    otel_exporter.create(source.store, source.table)
    source.insert(row(NOW, 60))
    assert source.bridge().accepted == 1


def test_a_killed_bridge_loses_and_repeats_nothing(source: Source, tmp_path: Path) -> None:
    """The service, as it is run: 60,000 rows of which every third is a call, killed on the way."""
    settings = source.settings
    env = {
        "ASSAY_REDIS_URL": settings.redis,
        "ASSAY_CLICKHOUSE_URL": settings.clickhouse,
        "ASSAY_CLICKHOUSE_DATABASE": settings.clickhouse_database,
        "ASSAY_OTEL_TRACES_TABLE": source.table,
        "ASSAY_OTEL_TRACES_TENANT": "org_5",
    }

    def insert(first: int, rows: int) -> None:
        source.store.command(
            f"INSERT INTO {source.table} (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, "
            "SpanAttributes, Duration, StatusCode) SELECT now64(9) - number % 3600, "
            "hex(MD5(toString(number))), substring(hex(MD5(toString(number))), 1, 16), "
            "'chat', 'Client', 'shop', "
            "if(number % 3 = 0, map('gen_ai.operation.name', 'chat', 'gen_ai.request.model', 'gpt-4o-mini', "
            "'gen_ai.usage.input_tokens', '100', 'gen_ai.usage.output_tokens', '10'), "
            "map('http.request.method', 'GET')), 1000000, 'Ok' "
            f"FROM numbers({first}, {rows})"
        )

    insert(0, 57_000)
    process: list[Any] = []

    def begin() -> None:
        log = tmp_path / f"log{len(process)}.txt"
        process.append(
            start(
                python("assay.collector.otel_traces"),
                ready=lambda: source.queue.exists("assay:otel:status") > 0,
                log=log,
                env=env,
            )
        )

    begin()
    wait_for(lambda: source.queue.xlen("assay:ingest") > 0, "a batch in the queue")
    process[-1].kill()
    begin()
    insert(57_000, 3_000)
    with source.running():
        wait_for(
            lambda: source.one("SELECT count() FROM llm_traces") == (20_000,), "every call in the store", 60
        )
    wait_for(lambda: source.queue.hget("assay:otel:status", "left") == b"0", "a heartbeat that tells it")
    assert process[-1].stop() == 0
    assert "Traceback" not in (tmp_path / "log1.txt").read_text()
    source.assert_exact(20_000)
    assert source.rows("SELECT DISTINCT tenant_id, source FROM llm_traces") == [("org_5", "otel_traces")]


def test_a_full_queue_makes_the_table_wait(source: Source) -> None:
    source.insert(row(NOW, 1))
    assert source.bridge(queue_max_entries=1).accepted == 1
    source.insert(row(NOW, 2))
    with pytest.raises(RuntimeError, match="1 batches wait for the writer"):
        source.bridge(queue_max_entries=1)
    source.drain()
    assert source.bridge(queue_max_entries=1).accepted == 1
    source.drain()
    source.assert_exact(2)


def test_a_table_that_cannot_be_read_is_named_with_the_fix(source: Source) -> None:
    database = source.settings.clickhouse_database
    source.store.command(f"CREATE VIEW {database}.seen AS SELECT * FROM {source.table}")
    source.store.command(
        f"CREATE TABLE {database}.as_json (Timestamp DateTime64(9), TraceId String, SpanId String, "
        "ParentSpanId String, SpanName String, SpanKind String, ServiceName String, ResourceAttributes JSON) "
        "ENGINE = MergeTree ORDER BY ()"
    )
    for name, message in {
        "missing": "there is no table",
        "seen": "is a View",
        "as_json": r"ResourceAttributes is JSON.*without `json: true`",
    }.items():
        with pytest.raises(TableError, match=message):
            source.bridge(otel_traces_table=f"{database}.{name}")
    # It is made later: nothing else has to be done.
    otel_exporter.create(source.store, f"{database}.missing")
    assert source.bridge(otel_traces_table=f"{database}.missing").left == 0
