"""OTLP requests in JSON. Ids are hex and names lower camel case, unlike in the generic JSON of protobuf."""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from assay.collector.body import RequestError
from assay.collector.otlp import MAX_DEPTH, Attributes, BadSpan, Event, OtlpSpan, Value


class _AnyValue(Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    # 64-bit integers are strings in JSON; numbers are accepted too.
    int_value: int | None = None
    double_value: float | str | None = None
    array_value: _ArrayValue | None = None
    kvlist_value: _KvList | None = None
    bytes_value: str | None = None


class _ArrayValue(Struct):
    values: list[_AnyValue | None] = []


class _KeyValue(Struct):
    key: str = ""
    value: _AnyValue | None = None


class _KvList(Struct):
    values: list[_KeyValue] = []


class _Status(Struct):
    code: int | str | None = 0


class _Event(Struct, rename="camel"):
    time_unix_nano: int = 0
    name: str = ""
    attributes: list[_KeyValue] | None = None


class _Span(Struct, rename="camel"):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str | None = ""
    name: str = ""
    kind: int | str | None = 0
    start_time_unix_nano: int = 0
    end_time_unix_nano: int = 0
    attributes: list[_KeyValue] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Resource(Struct):
    attributes: list[_KeyValue] | None = None


class _ScopeSpans(Struct):
    # Decoded one by one, so that one bad span does not cost the others.
    spans: list[msgspec.Raw] | None = None


class _ResourceSpans(Struct, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Request(Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


_request_decoder: Final = msgspec.json.Decoder(_Request, strict=False)
_span_decoder: Final = msgspec.json.Decoder(_Span, strict=False)
_ENUMS: Final = {
    "SPAN_KIND_INTERNAL": 1,
    "SPAN_KIND_SERVER": 2,
    "SPAN_KIND_CLIENT": 3,
    "SPAN_KIND_PRODUCER": 4,
    "SPAN_KIND_CONSUMER": 5,
    "STATUS_CODE_OK": 1,
    "STATUS_CODE_ERROR": 2,
}


def decode_json(body: bytes) -> Iterator[OtlpSpan | BadSpan]:
    """The spans of a JSON ``ExportTraceServiceRequest``: OTLP's JSON, in which ids are hex, not base64.

    Raises:
        RequestError: 400, the body is no such object.
    """
    try:
        request = _request_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            400,
            f"the body is no ExportTraceServiceRequest in JSON: {error}",
            "send {resourceSpans: [{scopeSpans: [{spans: […]}]}]}; Assay's own format goes to /v1/spans",
            body,
        ) from error
    return _json_spans(request)


def _json_spans(request: _Request) -> Iterator[OtlpSpan | BadSpan]:
    for resource_spans in request.resource_spans or ():
        resource = _json_attributes(resource_spans.resource.attributes if resource_spans.resource else None)
        for scope_spans in resource_spans.scope_spans or ():
            for raw in scope_spans.spans or ():
                yield _json_span(raw, resource)


def _json_span(raw: msgspec.Raw, resource: Attributes) -> OtlpSpan | BadSpan:
    try:
        span = _span_decoder.decode(raw)
        return OtlpSpan(
            _hex(span.trace_id),
            _hex(span.span_id),
            _hex(span.parent_span_id or ""),
            span.name,
            _enum(span.kind),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _enum(span.status.code if span.status else 0),
            _json_attributes(span.attributes),
            [Event(e.name, e.time_unix_nano, _json_attributes(e.attributes)) for e in span.events or ()],
            resource,
        )
    except msgspec.ValidationError as error:
        _, _, path = str(error).partition(" - at `$")
        return BadSpan(path.strip("`.").partition("[")[0], f"not an OTLP span: {error}", bytes(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        return BadSpan("", f"not an OTLP span: {error}", bytes(raw))


def _hex(text: str) -> str:
    try:
        return binascii.unhexlify(text).hex()
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"id {text[:64]!r} is not hex") from error


def _enum(value: int | str | None) -> int:
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) < 9 else _ENUMS.get(value, 0)
    return value or 0


def _json_attributes(pairs: list[_KeyValue] | None) -> Attributes:
    return {pair.key: _json_value(pair.value, 0) for pair in pairs or ()}


def _json_value(value: _AnyValue | None, depth: int) -> Value:
    if value is None or depth > MAX_DEPTH:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return value.int_value
    if value.bool_value is not None:
        return value.bool_value
    if value.double_value is not None:
        return _double(value.double_value)
    if value.array_value is not None:
        return [_json_value(item, depth + 1) for item in value.array_value.values]
    if value.kvlist_value is not None:
        return {pair.key: _json_value(pair.value, depth + 1) for pair in value.kvlist_value.values}
    return value.bytes_value


def _double(value: float | str) -> float:
    try:
        # "NaN", "Infinity" and "-Infinity" are how JSON carries them.
        return float(value)
    except ValueError:
        return math.nan
