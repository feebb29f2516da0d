"""What the writer asks of ClickHouse and how it inserts: one request per table and block."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from assay.collector.writer import arrow

INSERT_SECONDS: Final = 60

_INSERT: Final[Mapping[str, Any]] = {
    # A repeated insert is dropped, in the table and in every rollup behind it.
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "insert_deduplicate": 1,
    # Stored when answered: an insert that waits on the server for others could be lost after it was
    # acknowledged.
    "async_insert": 0,
    # A load may span more months than the default allows; the block stays one block whatever its size.
    "max_partitions_per_insert_block": 0,
    "max_execution_time": INSERT_SECONDS,
}
# Identities travel inside the query, 16 characters each.
_LOOKUP: Final[Mapping[str, Any]] = {"max_query_size": 64 << 20, "max_execution_time": 30}

_KNOWN = """
WITH
    reinterpret(base64Decode('{hashes}'), 'Array(UInt64)') AS hashes,
    reinterpret(base64Decode('{minutes}'), 'Array(UInt32)') AS minutes
SELECT kind, hash, minute
FROM ingest_identity
WHERE
    kind IN ({kinds})
    AND (minute, hash) IN (
        SELECT toDateTime(m + around, 'UTC'), h
        FROM (SELECT minutes AS m, hashes AS h)
        ARRAY JOIN m, h
        ARRAY JOIN {around} AS around
    )
"""
_SPANS = """
WITH reinterpret(base64Decode('{hashes}'), 'Array(UInt64)') AS hashes
SELECT
    trace_hash, span_hash, parent_hash, toUnixTimestamp64Micro(timestamp) AS timestamp_us, tenant_id, model,
    prompt_template_version, task_type, experiment_id, has_usage
FROM llm_span_index
WHERE trace_hash IN (SELECT arrayJoin(hashes)) {more}
"""
# The whole row as it is, billed or not: with both values of `billed` it is both halves of a correction.
_ROWS = """
WITH
    reinterpret(base64Decode('{traces}'), 'Array(UInt64)') AS traces,
    reinterpret(base64Decode('{spans}'), 'Array(UInt64)') AS spans,
    reinterpret(base64Decode('{times}'), 'Array(Int64)') AS times
SELECT {columns}
FROM llm_traces FINAL
WHERE
    tenant_id IN ({tenants})
    AND model IN ({models})
    AND prompt_template_version IN ({templates})
    AND timestamp IN (SELECT fromUnixTimestamp64Micro(arrayJoin(times), 'UTC'))
    AND (xxh3(trace_id), xxh3(span_id)) IN (
        SELECT t, s FROM (SELECT traces AS t, spans AS s) ARRAY JOIN t, s
    )
"""

_TRACE_COLUMNS = """
SELECT name
FROM system.columns
WHERE database = currentDatabase() AND table = 'llm_traces' AND default_kind NOT IN ('MATERIALIZED', 'ALIAS')
ORDER BY position
"""


class Asked(NamedTuple):
    """Which of some identities are stored?

    Attributes:
        kinds: in which they may be.
        hashes, minute: of each identity.
        around_s: where each is looked for, in seconds from its minute.
    """

    kinds: Sequence[str]
    hashes: NDArray[np.uint64]
    minute: NDArray[np.uint32]
    around_s: Sequence[int] = (0,)


class Known(NamedTuple):
    """Identities of one kind that are stored, one per row, in no order."""

    hashes: NDArray[np.uint64]
    minute: NDArray[np.uint32]


class Stored(NamedTuple):
    """Where a row of ``llm_traces`` is: what the table is sorted by, and its identity."""

    tenant_id: str
    model: str
    prompt_template_version: str
    timestamp_us: int
    trace_hash: int
    span_hash: int


class Store:
    """The store as the writer sees it. Errors of the driver pass through."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._trace_columns: list[str] = []

    @property
    def client(self) -> Client:
        """Of the store, for what is not of a block."""
        return self._client

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert rows; a second insert with the same token into the same table does nothing."""
        if not rows.num_rows:
            return
        self._client.raw_insert(
            table,
            rows.column_names,
            arrow.stream(rows),
            settings={**_INSERT, "insert_deduplication_token": token},
            fmt="ArrowStream",
        )

    def known_identities(self, asked: Iterable[Asked]) -> dict[str, Known]:
        """Of the given identities those that are stored, by kind; one per row that is stored."""
        parts = [
            _KNOWN.format(
                kinds=_quoted(one.kinds),
                hashes=_packed(one.hashes),
                minutes=_packed(one.minute),
                around=list(one.around_s),
            )
            for one in asked
        ]
        if not parts:
            return {}
        found = self._query(" UNION ALL ".join(f"({part})" for part in parts))
        kinds = np.array(found["kind"].to_pylist(), object)
        stored = arrow.column(found, "hash")
        minute = arrow.column(found, "minute").astype(np.uint32)
        return {str(kind): Known(stored[kinds == kind], minute[kinds == kind]) for kind in set(kinds)}

    def spans(self, trace_hashes: NDArray[np.uint64], *, with_parent_only: bool = False) -> pa.Table:
        """The stored spans of the traces: hashes, time, series, whether they used tokens."""
        return self._query(
            _SPANS, hashes=_packed(trace_hashes), more="AND parent_hash != 0" if with_parent_only else ""
        )

    def trace_rows(self, spans: Sequence[Stored]) -> pa.Table:
        """Stored rows of ``llm_traces``, in all the columns that an insert gives."""
        if not self._trace_columns:
            self._trace_columns = [row[0] for row in self._client.query(_TRACE_COLUMNS).result_rows]
        # Said which type: numpy takes whole numbers on both sides of 2**63 for floats, and cuts them.
        times = np.array([span.timestamp_us for span in spans], np.int64)
        traces = np.array([span.trace_hash for span in spans], np.uint64)
        hashes = np.array([span.span_hash for span in spans], np.uint64)
        return self._query(
            _ROWS,
            columns=", ".join(self._trace_columns),
            traces=_packed(traces),
            spans=_packed(hashes),
            times=_packed(times),
            tenants=_quoted(span.tenant_id for span in spans),
            models=_quoted(span.model for span in spans),
            templates=_quoted(span.prompt_template_version for span in spans),
        )

    def _query(self, sql: str, **parts: str) -> pa.Table:
        sql = sql.format(**parts) if parts else sql
        return self._client.query_arrow(sql, use_strings=True, settings=dict(_LOOKUP))


def _packed(values: NDArray[Any]) -> str:
    """The bytes of an array as a literal: parsed as one token, where a list of numbers would be thousands."""
    return base64.b64encode(values.tobytes()).decode()


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(
        "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" for text in sorted(set(texts))
    )
