"""A period of the exporter's table, read piece by piece: every call once, the oldest first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from assay.collector.capture import Policies
from assay.collector.envelope import Envelope
from assay.collector.otel_traces.history import Bookmark, History, moment_of, nanoseconds, why_wait
from assay.collector.otel_traces.table import Table
from assay.collector.queue import STREAM, publish
from assay.contracts.records import Span
from assay.settings import Settings
from tests.assay.collector.otel_traces.conftest import Source
from tests.support.otel_exporter import row
from tests.support.stores import Valkey
from tests.support.writing import span

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
LAST = FIRST + timedelta(days=3)


def history(source: Source, first: datetime = FIRST, last: datetime = LAST, **options: Any) -> History:
    table = Table(source.store, source.table)
    table.describe(None)
    return History(table, nanoseconds(first), nanoseconds(last), **options)


def records(found: History, policies: Policies | None = None) -> list[list[Span]]:
    """The calls, piece by piece."""
    kept = policies or Policies()
    return [
        [record for record in piece.mapped.records if isinstance(record, Span)]
        for piece in found.pieces(lambda: kept)
    ]


def test_every_call_comes_once_and_in_order_however_they_lie(source: Source) -> None:
    """Crowded seconds, empty days, many of one moment, other spans in between; the borders are exact."""
    crowded = [row(FIRST + timedelta(hours=5, milliseconds=n), n) for n in range(40)]
    together = [row(FIRST + timedelta(hours=30), 100 + n) for n in range(25)]
    sparse = [row(FIRST + timedelta(hours=h, minutes=7), 200 + h) for h in range(31, 72)]
    others = [
        row(FIRST + timedelta(minutes=n), 1_000 + n, SpanAttributes={"gen_ai.operation.name": "execute_tool"})
        for n in range(300)
    ]
    edges = [row(FIRST, 500), row(LAST - timedelta(microseconds=1), 501)]
    outside = [row(FIRST - timedelta(microseconds=1), 900), row(LAST, 901)]
    source.insert(*crowded, *together, *sparse, *others, *edges, *outside)
    found = history(source, limit=10)
    assert found.rows == 408
    pieces = records(found)
    calls = [record for piece in pieces for record in piece]
    assert len(calls) == 108
    assert {int(call.span_id, 16) - 1 for call in calls} == {
        *range(40),
        *range(100, 125),
        *range(231, 272),
        500,
        501,
    }
    assert [call.timestamp for call in calls] == sorted(call.timestamp for call in calls)
    assert sorted(len(piece) for piece in pieces)[-2:] == [10, 25]
    # As many when all of them are one piece.
    assert sum(len(piece) for piece in records(history(source))) == 108


def test_where_a_reading_stands_is_told_in_rows(source: Source) -> None:
    source.insert(*(row(FIRST + timedelta(hours=h, minutes=30), h) for h in range(48)))
    found = history(source)
    at = [found.rows_until(nanoseconds(FIRST + timedelta(hours=h))) for h in (-1, 0, 12, 48, 72)]
    assert at == [0, 0, 12, 48, 48]
    ends = [piece.end_ns for piece in found.pieces(Policies)]
    assert ends == sorted(ends)
    assert moment_of(ends[-1]) == LAST


def test_old_calls_are_no_rejects_and_bad_ones_are(source: Source) -> None:
    source.insert(
        row(FIRST, 1),
        row(FIRST, 2, SpanAttributes={"gen_ai.usage.input_tokens": "many"}),
        row(FIRST, 3, ResourceAttributes={}, ServiceName=""),
    )
    (piece,) = history(source, tenant="org_5").pieces(Policies)
    assert [reject.field for reject in piece.mapped.rejects] == ["tokens.prompt"]
    assert {r.tenant_id for r in piece.mapped.records if isinstance(r, Span)} == {"org_1", "org_5"}


def test_text_is_read_of_those_whose_text_may_be_kept(source: Source) -> None:
    text = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Who?"}
    source.insert(row(FIRST, 1, SpanAttributes=text))
    assert [record.input for piece in records(history(source)) for record in piece] == [None]
    kept = records(history(source), Policies({"org_1": "full"}))
    assert [record.input for piece in kept for record in piece] == ["user: Who?"]


def test_a_mark_is_of_one_beginning_one_table_and_one_tenant(source: Source) -> None:
    mark = Bookmark(source.queue, "otel.otel_traces", "u-1", "")
    assert mark.read(10, 100) == 10
    mark.write(10, 50)
    assert mark.read(10, 100) == 50
    assert mark.read(10, 1_000) == 50
    # Another beginning; a period that ends before it.
    assert (mark.read(20, 100), mark.read(10, 40)) == (20, 10)
    assert Bookmark(source.queue, "otel.otel_traces", "u-2", "").read(10, 100) == 10
    assert Bookmark(source.queue, "otel.otel_traces", "u-1", "org_5").read(10, 100) == 10
    mark.drop()
    assert mark.read(10, 100) == 10


def test_history_waits_where_live_traffic_waits(valkey: Valkey) -> None:
    url = valkey.url.rsplit("/", 1)[0] + "/4"
    settings = Settings(redis_url=url, queue_max_entries=4)
    with redis.Redis.from_url(url) as queue:
        queue.flushdb()
        assert why_wait(settings) == ""
        envelope = Envelope.of("span", "native", [span()])
        publish(queue, envelope)
        assert why_wait(settings) == ""
        # Half of what may wait is for others.
        publish(queue, envelope)
        assert why_wait(settings) == "2 batches wait for the writer"
        queue.delete(STREAM)
        # Queued long ago.
        queue.xadd(STREAM, {b"e": b""}, id="1000000000000-0")
        assert "s behind" in why_wait(settings)
        queue.flushdb()
    unreachable = Settings(redis_url="redis://127.0.0.1:1/0")
    assert "cannot be reached" in why_wait(unreachable)


@pytest.mark.parametrize("hours", [1, 1_000])
def test_an_empty_period_has_nothing(source: Source, hours: int) -> None:
    source.insert(row(LAST, 1))
    found = history(source, LAST - timedelta(hours=hours), LAST)
    assert found.rows == 0
    assert [piece.mapped.records for piece in found.pieces(Policies)] == [[]]
