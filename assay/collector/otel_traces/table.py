"""The table ``otel_traces`` as the OpenTelemetry Collector's ClickHouse exporter makes it, and its rows as
OTLP spans.

The columns are those of every version since 0.60 (2022); what later ones added is not needed. The exporter
writes every attribute as text: numbers and booleans as in JSON, lists and maps as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from clickhouse_connect.driver.client import Client

from assay.collector import genai
from assay.collector.otel_traces.progress import Part, Position
from assay.collector.otlp import Attributes, Event, OtlpSpan
from assay.collector.spans import MODEL_CALL_FIELDS

# A span without one of these attributes is no model call (`assay.collector.spans.is_model_call`). The
# exporter's index over the keys of the map skips granules without them.
MODEL_CALL_NAMES: Final = tuple(name for field in MODEL_CALL_FIELDS for name in genai.ROWS[field])
# In 2023, before it had columns for them, the exporter wrote the scope among the span's attributes.
_SCOPE: Final = ("otel.scope.name", "otel.scope.version")
# Column and how its type begins: who makes the table by hand may choose other time zones and precisions.
_COLUMNS: Final = {
    "Timestamp": ("DateTime64(",),
    "TraceId": ("String",),
    "SpanId": ("String",),
    "ParentSpanId": ("String",),
    "SpanName": ("LowCardinality(String)", "String"),
    "SpanKind": ("LowCardinality(String)", "String"),
    "ServiceName": ("LowCardinality(String)", "String"),
    "ResourceAttributes": ("Map(",),
    "SpanAttributes": ("Map(",),
    "Duration": ("UInt64", "Int64"),
    "StatusCode": ("LowCardinality(String)", "String"),
    "Events.Timestamp": ("Array(DateTime64(",),
    "Events.Name": ("Array(",),
    "Events.Attributes": ("Array(Map(",),
}
_MAP: Final = "Map(LowCardinality(String), String)"
# Of an answer that is not wanted the id of the response alone (`assay.collector.spans`), under the name that
# gives way to the others.
_ANSWER: Final = "SpanAttributes[{response:String}]"
_ANSWERED: Final = (
    f"mapFilter((k, v) -> v != '', map({{response_id:String}}, if(JSONHas({_ANSWER}, 'model') "
    f"AND JSONHas({_ANSWER}, 'usage'), JSONExtractString({_ANSWER}, 'id'), '')))::{_MAP}"
)
_MAY_BE_CALLS: Final = "hasAny(mapKeys(SpanAttributes), {names:Array(String)})"
# Whole constants, so that partitions and granules outside the period are not read.
_OF_PERIOD: Final = (
    "Timestamp >= fromUnixTimestamp64Nano({start:Int64}) AND Timestamp < fromUnixTimestamp64Nano({end:Int64})"
)
_HOUR_NS: Final = 3_600 * 10**9
_KINDS: Final = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_STATUSES: Final = {"ok": 1, "error": 2}


class TableError(RuntimeError):
    """The table is not there, or not one that can be read; the message says what to do."""


class Described(NamedTuple):
    """The table: which one it is, and whether its blocks are numbered under one lock."""

    uuid: str
    serial: bool


class Row(NamedTuple):
    """A row: where it stands, and what it says."""

    part: str
    offset: int
    span: OtlpSpan


class Table:
    """The table.

    Args:
        client: of the server that has it, which has to be one server, not several behind one address.
        name: ``database.table``.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._database, self._table = name.split(".")

    def describe(self, known: Described | None) -> Described:
        """Which table it is; its columns are checked where that is not the ``known`` one.

        Raises:
            TableError: it cannot be read.
        """
        where = "WHERE database = {database:String} AND {column:Identifier} = {table:String}"
        names = {"database": self._database, "table": self._table}
        found = self._client.query(
            f"SELECT toString(uuid), engine FROM system.tables {where}",
            parameters={**names, "column": "name"},
        ).result_rows
        title = f"{self._database}.{self._table}"
        if not found:
            raise TableError(
                f"there is no table {title}, or this user may not see it: ASSAY_OTEL_TRACES_TABLE names the "
                "table (as database.table) that the collector's ClickHouse exporter makes when it starts"
            )
        uuid, engine = found[0]
        if not engine.endswith("MergeTree"):
            raise TableError(
                f"{title} is a {engine}: ASSAY_OTEL_TRACES_TABLE has to name a MergeTree table (of a "
                "Distributed table, the local one behind it)"
            )
        described = Described(uuid, not engine.startswith(("Replicated", "Shared")))
        if described == known:
            return known
        columns = self._client.query(
            f"SELECT name, type FROM system.columns {where}", parameters={**names, "column": "table"}
        ).result_rows
        types: dict[str, str] = {row[0]: row[1] for row in columns}
        for column, allowed in _COLUMNS.items():
            if not types.get(column, "").startswith(allowed):
                raise TableError(
                    f"{title}: the column {column} is {types.get(column, 'missing')}, not {allowed[0]}…; the "
                    "table has to be as the exporter makes it (without `json: true`)"
                )
        return described

    def parts(self) -> list[Part]:
        """The parts that make up the table now."""
        return [
            Part(*row)
            for row in self._client.query(
                "SELECT name, partition_id, min_block_number, max_block_number, rows FROM system.parts "
                "WHERE active AND database = {database:String} AND table = {table:String}",
                parameters={"database": self._database, "table": self._table},
            ).result_rows
        ]

    def read(self, page: Sequence[Position], *, limit: int, since: datetime | None, text: bool) -> list[Row]:
        """The rows of a page that may be model calls, by part and position, at most ``limit``.

        Args:
            page: one position, or several whole parts.
            limit: how many.
            since: leave out calls before this time.
            text: whether prompts and answers are wanted: else they stay in the table.
        """
        names = _parameters(text) | {"parts": [position.part.name for position in page], "limit": limit}
        conditions = ["_part IN {parts:Array(String)}", _MAY_BE_CALLS]
        if len(page) == 1:
            conditions.append("_part_offset >= {start:UInt64} AND _part_offset < {end:UInt64}")
            names |= {"start": page[0].start, "end": page[0].end}
        if since is not None:
            conditions.append("Timestamp >= fromUnixTimestamp({since:Int64})")
            # The next whole second: of this one, a part is too old.
            names["since"] = int(since.timestamp()) + 1
        found = self._client.query(
            f"SELECT _part, _part_offset, {_selected(text)} FROM {self._name} "
            f"WHERE {' AND '.join(conditions)} ORDER BY _part, _part_offset LIMIT {{limit:UInt64}}",
            parameters=names,
        )
        return [Row(row[0], row[1], _span(*row[2:])) for row in found.result_rows]

    def between(self, start_ns: int, end_ns: int, *, limit: int | None, text: bool) -> list[OtlpSpan]:
        """Spans that may be model calls and begin in a period, the oldest first.

        Args:
            start_ns, end_ns: Unix nanoseconds; ``end_ns`` is the first that is not of it.
            limit: how many at most; None: all.
            text: whether prompts and answers are wanted: else they stay in the table.
        """
        found = self._client.query(
            f"SELECT {_selected(text)} FROM {self._name} WHERE {_OF_PERIOD} AND {_MAY_BE_CALLS} "
            f"ORDER BY Timestamp{'' if limit is None else ' LIMIT {limit:UInt64}'}",
            parameters=_parameters(text) | {"start": start_ns, "end": end_ns, "limit": limit or 0},
        )
        return [_span(*row) for row in found.result_rows]

    def rows_by_hour(self, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """Hours (UTC) of a period that have rows: Unix nanoseconds of their beginning, and how many; in
        order. Rows outside the period do not count."""
        rows = self._client.query(
            f"SELECT intDiv(toUnixTimestamp64Nano(Timestamp), {_HOUR_NS}) AS hour, count() "
            f"FROM {self._name} WHERE {_OF_PERIOD} GROUP BY hour ORDER BY hour",
            parameters={"start": start_ns, "end": end_ns},
        ).result_rows
        return [(hour * _HOUR_NS, count) for hour, count in rows]

    @property
    def _name(self) -> str:
        return f"`{self._database}`.`{self._table}`"


def _parameters(text: bool) -> dict[str, Any]:
    """Of :data:`_MAY_BE_CALLS` and :func:`_selected`."""
    names: dict[str, Any] = {"names": list(MODEL_CALL_NAMES), "scope": list(_SCOPE)}
    if not text:
        names |= {
            "text": list(genai.ROWS["text"]),
            "prefixes": list(genai.TEXT_PREFIXES),
            "labels": sorted(name for name in genai.LABELS if name.startswith(genai.TEXT_PREFIXES)),
            "first_token": sorted(genai.FIRST_TOKEN_EVENTS),
            "response": genai.RESPONSE,
            "response_id": genai.TEXT_FIELDS["response_id"][-1],
        }
    return names


def _selected(text: bool) -> str:
    unwanted = "has({scope:Array(String)}, k)"
    wanted_event, attributes = "true", "attributes"
    if not text:
        unwanted += (
            " OR has({text:Array(String)}, k) OR NOT has({labels:Array(String)}, k)"
            " AND arrayExists(prefix -> startsWith(k, prefix), {prefixes:Array(String)})"
        )
        # Of the events those that time the first token: a stream may have thousands, with its text.
        wanted_event = "has({first_token:Array(String)}, event.1)"
        attributes = "map()::Map(String, String)"
    spoken = f"mapFilter((k, v) -> NOT ({unwanted}), SpanAttributes)"
    if not text:
        spoken = f"mapUpdate({_ANSWERED}, {spoken}::{_MAP})"
    return (
        "TraceId, SpanId, ParentSpanId, SpanName, SpanKind, toUnixTimestamp64Nano(Timestamp), "
        "toInt64(Duration), StatusCode, ServiceName, ResourceAttributes, "
        f"{spoken}, "
        f"arrayFilter(event -> {wanted_event}, arrayMap((name, time, attributes) -> "
        f"(name, toUnixTimestamp64Nano(time), {attributes}), "
        "Events.Name, Events.Timestamp, Events.Attributes))"
    )


def _span(
    trace_id: str,
    span_id: str,
    parent_span_id: str,
    name: str,
    kind: str,
    start_ns: int,
    duration_ns: int,
    status: str,
    service: str,
    resource: Attributes,
    attributes: Attributes,
    events: list[tuple[str, int, Attributes]],
) -> OtlpSpan:
    if service:
        resource.setdefault(genai.SERVICE_NAME, service)
    return OtlpSpan(
        trace_id,
        span_id,
        parent_span_id,
        name,
        # Until August 2024 the exporter wrote the names of the protocol's own enumerations.
        _KINDS.get(kind.removeprefix("SPAN_KIND_").lower(), 0),
        start_ns,
        start_ns + duration_ns,
        _STATUSES.get(status.removeprefix("STATUS_CODE_").lower(), 0),
        attributes,
        [Event(*event) for event in events],
        resource,
    )
