"""What the freshness sensor reports of rows that were written without Dagster."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.settings import Settings
from assay.warehouse.client import connect
from orchestration.defs.traces import arrivals
from orchestration.defs.traces.arrivals import Arrivals, Table
from tests.support.rows import evaluation, insert, span

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def arrived(table: str, new_rows: int, until_ms: int = NOW_MS) -> Arrivals:
    """Some arrivals in a table."""
    return Arrivals(table, until_ms, new_rows, 1000, 1.0, 2.0, 3.0, NOW)


@pytest.mark.parametrize(
    ("age_s", "is_due"),
    [
        (None, True),
        (arrivals.REPORT_EVERY_S + arrivals.SETTLE_S, True),
        (arrivals.REPORT_EVERY_S, False),
        (0, False),
    ],
)
def test_due(age_s: int | None, is_due: bool) -> None:
    """A table is looked at when its last reported window ended long enough ago."""
    cursor = {} if age_s is None else {"llm_traces": NOW_MS - age_s * 1000}
    names = [table.name for table in arrivals.due(cursor, NOW)]
    assert ("llm_traces" in names) is is_due
    assert "llm_evaluations" in names


@given(
    st.dictionaries(st.sampled_from([t.name for t in arrivals.TABLES]), st.integers(-5, 5)),
    st.dictionaries(st.sampled_from([t.name for t in arrivals.TABLES]), st.integers(0, NOW_MS - 1)),
)
def test_reports_and_cursor_go_together(counts: dict[str, int], cursor: dict[str, int]) -> None:
    """What is reported moves on, what is not stays where it was: every row is reported once."""
    report = arrivals.decide([arrived(table, n) for table, n in counts.items()], cursor)
    reported = {event.asset_key.to_user_string() for event in report.events}
    assert reported == {table for table, n in counts.items() if n > 0}
    after = arrivals.parse_cursor(report.cursor)
    assert after == {**cursor, **dict.fromkeys(reported, NOW_MS)}


def test_unknown_is_left_out() -> None:
    """A lag that nobody knows is no figure."""
    quiet = Arrivals("human_labels", NOW_MS, 3, 3, None, None, None, NOW)
    (event,) = arrivals.decide([quiet], {}).events
    assert set(event.metadata) == {"dagster/row_count", "new_rows", "last_row_at"}


def test_sensor(settings: Settings, definitions: dg.Definitions) -> None:
    """Reports new rows with their figures, nothing without them; what is not settled waits for the next."""
    from orchestration.defs.traces.sensors import telemetry_freshness_sensor
    from orchestration.resources import Store

    def tick(cursor: dict[str, int] | None) -> dg.SensorResult:
        text = None if cursor is None else json.dumps(cursor)
        result = telemetry_freshness_sensor(
            dg.build_sensor_context(cursor=text, resources={"store": Store()})
        )
        assert isinstance(result, dg.SensorResult)
        assert not result.run_requests
        return result

    now = datetime.now(UTC)
    minute_ago = now - timedelta(seconds=60)
    with connect(settings) as client:
        old = now - timedelta(days=20)
        insert(
            client,
            "llm_traces",
            span(minute_ago - timedelta(seconds=1), ingested_at=minute_ago),
            span(minute_ago - timedelta(seconds=3), ingested_at=minute_ago),
            # A backfill: counted, but its lag says nothing.
            span(old, ingested_at=minute_ago, retention_start=now.date()),
            # Not settled yet.
            span(now, ingested_at=now),
        )
        insert(client, "llm_evaluations", evaluation(minute_ago))

        first = tick(None)
        by_asset = {event.asset_key.to_user_string(): event.metadata for event in first.asset_events}
        assert set(by_asset) == {"llm_traces", "llm_evaluations"}
        traces = {name: value.value for name, value in by_asset["llm_traces"].items()}
        last_row_at = traces.pop("last_row_at")
        assert last_row_at == pytest.approx((minute_ago - timedelta(seconds=1)).timestamp(), abs=0.001)
        assert traces == {
            "dagster/row_count": 4,
            "new_rows": 3,
            "ingest_lag_p50_s": pytest.approx(3, abs=2.01),
            "ingest_lag_p95_s": pytest.approx(3, abs=0.01),
            "ingest_lag_max_s": pytest.approx(3, abs=0.01),
        }

        cursor = arrivals.parse_cursor(first.cursor)
        soon = tick(cursor)
        assert not soon.asset_events
        assert arrivals.parse_cursor(soon.cursor) == cursor

        # As if the last report were ten minutes old: what arrived since is reported, and nothing twice.
        settled = {table: int((now - timedelta(minutes=10)).timestamp() * 1000) for table in cursor}
        settled["llm_evaluations"] = int((now - timedelta(seconds=30)).timestamp() * 1000)
        later = tick(settled)
        assert [e.asset_key.to_user_string() for e in later.asset_events] == ["llm_traces"]
        assert later.asset_events[0].metadata["new_rows"].value == 3


def test_windows_meet(settings: Settings) -> None:
    """However the windows fall, every record is counted once; a correction counts nothing."""
    start = datetime(2026, 3, 1, tzinfo=UTC)
    table = Table("llm_traces", rows="sum(toInt64(sign))")
    corrected = span(start, ingested_at=start + timedelta(seconds=50))
    with connect(settings) as client:
        insert(
            client, "llm_traces", *(span(start, ingested_at=start + timedelta(seconds=s)) for s in range(30))
        )
        insert(client, "llm_traces", corrected)
        first = arrivals.read(client, [table], {})[0]
        assert first.new_rows == 31
        boundary = int((start + timedelta(seconds=30)).timestamp() * 1000)
        assert arrivals.read(client, [table], {"llm_traces": boundary})[0].new_rows == 1
        insert(
            client,
            "llm_traces",
            {**corrected, "sign": -1, "ingested_at": start + timedelta(seconds=90)},
            {**corrected, "cost_usd": None, "ingested_at": start + timedelta(seconds=90)},
        )
        after = int((start + timedelta(seconds=60)).timestamp() * 1000)
        assert arrivals.read(client, [table], {"llm_traces": after})[0].new_rows == 0
        assert arrivals.read(client, [table], {"llm_traces": first.until_ms})[0].new_rows == 0
    assert arrivals.read(client, [], {}) == []
