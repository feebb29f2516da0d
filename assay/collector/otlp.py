"""The OTLP/HTTP protocol: requests in protobuf, and the answers. Requests in JSON: ``otlp_json``."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from assay.collector.body import RequestError
from assay.collector.otlp_wire import split

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
MAX_DEPTH: Final = 16
# Of a span that cannot be parsed: its ids are in its first 30 bytes, what was said comes later.
_HEAD: Final = 40

Value = str | bool | int | float | list[Any] | dict[str, Any] | None
Attributes = dict[str, Value]


class Event(NamedTuple):
    """A moment within a span."""

    name: str
    time_ns: int
    attributes: Attributes


class OtlpSpan(NamedTuple):
    """One span as it was sent, in plain Python values. Ids are lower-case hex, times Unix nanoseconds."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status_code: int
    attributes: Attributes
    events: list[Event]
    resource: Attributes


class BadSpan(NamedTuple):
    """A span that is not OTLP: what is wrong, and its bytes."""

    field: str
    reason: str
    payload: bytes


def decode_protobuf(body: bytes) -> Iterable[OtlpSpan | BadSpan]:
    """The spans of a protobuf ``ExportTraceServiceRequest``.

    Raises:
        RequestError: 400, the body is no such message.
    """
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        try:
            return [_alone(span, resource) for span, resource in split(body)]
        except ValueError as broken:
            raise RequestError(
                400,
                f"the body is no ExportTraceServiceRequest: {error} ({broken})",
                f"send OTLP protobuf, or JSON with Content-Type: {JSON}",
                body,
            ) from error
    return _spans(request)


def _spans(request: Any) -> Iterator[OtlpSpan]:
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield _span(span, resource)


def _alone(span: bytes, resource: bytes) -> OtlpSpan | BadSpan:
    try:
        return _span(Span.FromString(span), _attributes(Resource.FromString(resource).attributes))
    except DecodeError as error:
        return BadSpan("", f"not an OTLP span, perhaps text that is no UTF-8: {error}", span[:_HEAD])


def _span(span: Any, resource: Attributes) -> OtlpSpan:
    return OtlpSpan(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code,
        _attributes(span.attributes),
        [Event(event.name, event.time_unix_nano, _attributes(event.attributes)) for event in span.events],
        resource,
    )


def _attributes(pairs: Any) -> Attributes:
    found: Attributes = {}
    for pair in pairs:
        value = pair.value
        match value.WhichOneof("value"):
            case "string_value":
                found[pair.key] = value.string_value
            case "int_value":
                found[pair.key] = value.int_value
            case "double_value":
                found[pair.key] = value.double_value
            case "bool_value":
                found[pair.key] = value.bool_value
            case _:
                found[pair.key] = _nested(value, 0)
    return found


def _nested(value: Any, depth: int) -> Value:
    name = value.WhichOneof("value")
    if name is None or depth > MAX_DEPTH:
        return None
    if name == "array_value":
        return [_nested(item, depth + 1) for item in value.array_value.values]
    if name == "kvlist_value":
        return {pair.key: _nested(pair.value, depth + 1) for pair in value.kvlist_value.values}
    if name == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    plain: Value = getattr(value, name)
    return plain


def success(content_type: str, rejected: int, message: str) -> bytes:
    """An ``ExportTraceServiceResponse``; a partial success where something was rejected."""
    if content_type == JSON:
        # 64-bit integers are strings in OTLP's JSON.
        return msgspec.json.encode(
            {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": message}} if rejected else {}
        )
    answer = ExportTraceServiceResponse()
    if rejected:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = message
    encoded: bytes = answer.SerializeToString()
    return encoded


def failure(content_type: str, code: int, message: str) -> bytes:
    """A ``google.rpc.Status``, which OTLP has in the body of every failure."""
    if content_type == JSON:
        return msgspec.json.encode({"code": code, "message": message})
    text = message.encode()
    # Two fields: 1, a varint; 2, a string.
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
