"""What the OpenTelemetry Collector's ClickHouse exporter does with spans: its table, and a row for each.

Table and rows as release 0.125 makes them (May 2025; later ones up to 0.152 differ in indexes and codecs).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from clickhouse_connect.driver.client import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_ATTRIBUTES = "Map(LowCardinality(String), String)"
_DDL = f"""
CREATE TABLE {{name}} (
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes {_ATTRIBUTES} CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes {_ATTRIBUTES} CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes {_ATTRIBUTES})
        CODEC(ZSTD(1)),
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes {_ATTRIBUTES}) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
) ENGINE = MergeTree()
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
"""
_KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUSES = ("Unset", "Ok", "Error")


def create(client: Client, name: str) -> None:
    """Make the table ``database.table``."""
    client.command(_DDL.format(name=name))


def export(client: Client, name: str, *requests: ExportTraceServiceRequest) -> None:
    """Insert the spans, all in one insert."""
    insert(client, name, [row for request in requests for row in rows(request)])


def insert(client: Client, name: str, found: list[dict[str, Any]]) -> None:
    """Insert rows."""
    columns = list(found[0])
    client.insert(name, [[row[column] for column in columns] for row in found], column_names=columns)


def rows(request: ExportTraceServiceRequest) -> Iterable[dict[str, Any]]:
    """The spans of a request as rows."""
    for resource_spans in request.resource_spans:
        resource = attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield {
                    # The driver takes whole nanoseconds for this type.
                    "Timestamp": span.start_time_unix_nano,
                    "TraceId": span.trace_id.hex(),
                    "SpanId": span.span_id.hex(),
                    "ParentSpanId": span.parent_span_id.hex(),
                    "TraceState": span.trace_state,
                    "SpanName": span.name,
                    "SpanKind": _KINDS[span.kind],
                    "ServiceName": resource.get("service.name", ""),
                    "ResourceAttributes": resource,
                    "ScopeName": scope_spans.scope.name,
                    "ScopeVersion": scope_spans.scope.version,
                    "SpanAttributes": attributes(span.attributes),
                    "Duration": (span.end_time_unix_nano - span.start_time_unix_nano) % 2**64,
                    "StatusCode": _STATUSES[span.status.code],
                    "StatusMessage": span.status.message,
                    "Events.Timestamp": [event.time_unix_nano for event in span.events],
                    "Events.Name": [event.name for event in span.events],
                    "Events.Attributes": [attributes(event.attributes) for event in span.events],
                    "Links.TraceId": [link.trace_id.hex() for link in span.links],
                    "Links.SpanId": [link.span_id.hex() for link in span.links],
                    "Links.TraceState": [link.trace_state for link in span.links],
                    "Links.Attributes": [attributes(link.attributes) for link in span.links],
                }


def attributes(pairs: Any) -> dict[str, str]:
    """Attributes as text, as the Collector's ``Value.AsString`` writes them."""
    return {pair.key: _text(_plain(pair.value)) for pair in pairs}


def _plain(value: Any) -> Any:
    match value.WhichOneof("value"):
        case None:
            return ""
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case name:
            return getattr(value, name)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    # Go's encoder makes JSON safe inside HTML.
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def row(timestamp: datetime, number: int, **changes: Any) -> dict[str, Any]:
    """A row of a call of a model; ``SpanAttributes`` among the changes are added to its own."""
    given = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": "1000",
        "gen_ai.usage.output_tokens": "100",
    }
    return {
        "Timestamp": int(timestamp.timestamp() * 1e6) * 1000,
        "TraceId": f"{number + 1:032x}",
        "SpanId": f"{number + 1:016x}",
        "SpanName": "chat",
        "SpanKind": "Client",
        "ServiceName": "shop",
        "ResourceAttributes": {"service.name": "shop", "tenant.id": "org_1"},
        "Duration": 1_500_000_000,
        "StatusCode": "Ok",
        **changes,
        "SpanAttributes": {**given, **changes.get("SpanAttributes", {})},
    }
