"""What arrived in the raw tables since they were last looked at.

One query over all tables. The times of the window are the store's own, and the window ends some seconds ago:
a row is stamped before it is visible, and must not fall between two windows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

# The writer stamps a batch when it starts to write it; storing it takes well under this long.
SETTLE_S = 10
# A report is kept for good, 2.4 kB with indexes: one a minute for two tables would make 2.5 GB a year.
REPORT_EVERY_S = 300


@dataclass(frozen=True)
class Table:
    """A raw table.

    Attributes:
        name: of the table and of its asset.
        rows: SQL for the number of records in rows. A correction is a pair of rows that count -1 and +1.
        live: SQL condition for rows whose lag means something: a backfill's does not.
    """

    name: str
    rows: str = "toInt64(count())"
    live: str = "retention_start = toDate(timestamp)"


TABLES = (
    Table("llm_traces", rows="sum(toInt64(sign))"),
    Table("llm_evaluations", rows="sum(toInt64(sign))"),
    Table("business_outcomes"),
    Table("end_user_feedback"),
    # People rate old answers, and labels are never expired: there is no lag to speak of.
    Table("human_labels", live="false"),
)


@dataclass(frozen=True)
class Arrivals:
    """What one table received in one window.

    Attributes:
        table: its name.
        until_ms: end of the window, Unix milliseconds of the store's clock.
        new_rows: records that were stored in the window.
        total_rows: rows in the table now.
        lag_p50_s, lag_p95_s, lag_max_s: seconds from the record's own time to the store, of live rows;
            None without any.
        last_row_at: the newest record's own time; None where nothing arrived.
    """

    table: str
    until_ms: int
    new_rows: int
    total_rows: int
    lag_p50_s: float | None
    lag_p95_s: float | None
    lag_max_s: float | None
    last_row_at: datetime | None


@dataclass(frozen=True)
class Report:
    """What a look says: events for Dagster, where the next windows start, and one line for people."""

    events: Sequence[dg.AssetMaterialization]
    cursor: str
    summary: str


def due(cursor: Mapping[str, int], now: datetime) -> list[Table]:
    """The tables whose last report is old enough. What was silent is reported as soon as it speaks."""
    latest = (now.timestamp() - SETTLE_S - REPORT_EVERY_S) * 1000
    return [table for table in TABLES if cursor.get(table.name, 0) <= latest]


def read(client: Client, tables: Sequence[Table], cursor: Mapping[str, int]) -> list[Arrivals]:
    """What arrived in ``tables`` since ``cursor`` (Unix milliseconds by table; missing: since ever)."""
    if not tables:
        return []
    query = " UNION ALL ".join(_select(table) for table in tables)
    parameters = {table.name: cursor.get(table.name, 0) for table in tables}
    return [
        Arrivals(**row) for row in client.query(query, parameters=parameters, tz_mode="aware").named_results()
    ]


def decide(arrivals: Sequence[Arrivals], cursor: Mapping[str, int]) -> Report:
    """Report the tables that received records; their next windows start where these end."""
    received = [a for a in arrivals if a.new_rows > 0]
    summary = ", ".join(f"{a.table}: {a.new_rows:,} new" for a in received)
    return Report(
        events=[dg.AssetMaterialization(a.table, metadata=_metadata(a)) for a in received],
        cursor=json.dumps({**cursor, **{a.table: a.until_ms for a in received}}),
        summary=summary or "nothing new",
    )


def parse_cursor(cursor: str | None) -> dict[str, int]:
    """Where the last reported windows ended; nothing before the first report."""
    return {} if cursor is None else {str(table): int(at) for table, at in json.loads(cursor).items()}


def _select(table: Table) -> str:
    lag = "dateDiff('millisecond', timestamp, ingested_at) / 1000"
    return f"""
    WITH (SELECT toUnixTimestamp64Milli(now64(3, 'UTC')) - {SETTLE_S * 1000}) AS until
    SELECT
        '{table.name}' AS table,
        until AS until_ms,
        {table.rows} AS new_rows,
        toInt64((SELECT count() FROM {table.name})) AS total_rows,
        quantileExactOrNullIf(0.5)({lag}, {table.live}) AS lag_p50_s,
        quantileExactOrNullIf(0.95)({lag}, {table.live}) AS lag_p95_s,
        maxOrNullIf({lag}, {table.live}) AS lag_max_s,
        maxOrNull(timestamp) AS last_row_at
    FROM {table.name}
    WHERE ingested_at >= fromUnixTimestamp64Milli({{{table.name}:Int64}}, 'UTC')
        AND ingested_at < fromUnixTimestamp64Milli(until, 'UTC')
    """


def _metadata(arrivals: Arrivals) -> dict[str, Any]:
    known = {
        "ingest_lag_p50_s": arrivals.lag_p50_s,
        "ingest_lag_p95_s": arrivals.lag_p95_s,
        "ingest_lag_max_s": arrivals.lag_max_s,
    }
    metadata: dict[str, Any] = {
        "dagster/row_count": arrivals.total_rows,
        "new_rows": arrivals.new_rows,
        **{name: value for name, value in known.items() if value is not None},
    }
    if arrivals.last_row_at is not None:
        metadata["last_row_at"] = dg.MetadataValue.timestamp(arrivals.last_row_at)
    return metadata
