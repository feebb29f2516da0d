"""OTLP as exporters speak it: the OpenTelemetry SDK, and the protocol's own messages."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from assay.collector.body import RequestError
from assay.collector.otlp import BadSpan, OtlpSpan, decode_protobuf, failure
from assay.collector.otlp_json import decode_json
from assay.contracts.records import Span
from tests.assay.collector.conftest import Collector

CALL: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 120,
    "gen_ai.usage.output_tokens": 30,
    "gen_ai.usage.cache_read.input_tokens": 64,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.stream": True,
    "gen_ai.prompt": "my name is Ann",
    "blob": b"\x00\xff",
}


def make_spans(*calls: dict[str, Any]) -> list[ReadableSpan]:
    """Spans of the real SDK: one parent, one model call in it for each of ``calls``."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop", "tenant.id": "org_7"}))
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("GET /answer"):
        for attributes in calls:
            with tracer.start_as_current_span("chat", kind=SpanKind.CLIENT) as span:
                span.set_attributes(attributes)
                if attributes.get("error.type"):
                    span.set_status(Status(StatusCode.ERROR, "it failed"))
    provider.shutdown()
    return list(memory.get_finished_spans())


def request_of(spans: list[ReadableSpan]) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(encode_spans(spans).SerializeToString())


def as_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """The request in OTLP's JSON: ids in hex, where protobuf's JSON has base64."""
    found: dict[str, Any] = MessageToDict(request, use_integers_for_enums=True)
    for resource, told in zip(request.resource_spans, found["resourceSpans"], strict=True):
        for scope, told_scope in zip(resource.scope_spans, told["scopeSpans"], strict=True):
            for span, told_span in zip(scope.spans, told_scope["spans"], strict=True):
                told_span["traceId"] = span.trace_id.hex()
                told_span["spanId"] = span.span_id.hex()
                if span.parent_span_id:
                    told_span["parentSpanId"] = span.parent_span_id.hex().upper()
    return found


@pytest.fixture
def exporter(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[OTLPSpanExporter]:
    # As users set it: the endpoint of all signals in the environment.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    found = OTLPSpanExporter()
    yield found
    found.shutdown()


def test_sdk_exporter_delivers(collector: Collector, exporter: OTLPSpanExporter) -> None:
    spans = make_spans(CALL)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    (envelope,) = collector.envelopes()
    assert (envelope.kind, envelope.source, envelope.rejects) == ("span", "otlp", [])
    (record,) = envelope.decode()
    assert isinstance(record, Span)
    call = spans[0]
    assert call.parent is not None
    assert call.start_time is not None
    assert call.end_time is not None
    assert record.trace_id == format(call.context.trace_id, "032x")
    assert record.span_id == format(call.context.span_id, "016x")
    assert record.parent_span_id == format(call.parent.span_id, "016x")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert record.timestamp == epoch + timedelta(microseconds=call.start_time // 1000)
    assert record.latency_ms == (call.end_time - call.start_time) / 1e6
    assert (record.tenant_id, record.model, record.provider) == ("org_7", "gpt-4o-mini", "openai")
    assert (record.tokens.prompt, record.tokens.completion, record.tokens.cached) == (120, 30, 64)
    assert record.finish_reason == "stop"
    assert record.attributes is not None
    assert record.attributes["gen_ai.request.temperature"] == "0.5"
    assert record.attributes["gen_ai.request.stream"] == "true"
    assert "Ann" not in repr(record)


def test_sdk_exporter_with_gzip_and_tenant_header(collector: Collector) -> None:
    exporter = OTLPSpanExporter(
        endpoint=f"{collector.url}/v1/traces",
        compression=Compression.Gzip,
        headers={"X-Assay-Tenant": "org_9"},
    )
    spans = make_spans(CALL)
    assert exporter.export(spans) is SpanExportResult.SUCCESS
    exporter.shutdown()
    assert [record.tenant_id for record in collector.records()] == ["org_7"]  # type: ignore[attr-defined]


def test_protobuf_and_json_give_the_same_spans(collector: Collector) -> None:
    request = request_of(make_spans(CALL, CALL | {"error.type": "RateLimitError"}))
    body = request.SerializeToString()
    told = json.dumps(as_json(request)).encode()
    assert list(decode_protobuf(body)) == list(decode_json(told))
    for content, media in ((body, "application/x-protobuf"), (told, "application/json; charset=utf-8")):
        collector.queue.flushdb()
        answer = collector.http.post("/v1/traces", content=content, headers={"Content-Type": media})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == media.partition(";")[0]
        assert [record.status for record in collector.records()] == ["ok", "error"]  # type: ignore[attr-defined]


def test_partial_success_in_protobuf(collector: Collector) -> None:
    request = request_of(make_spans(CALL, CALL | {"gen_ai.usage.input_tokens": -1}))
    answer = collector.http.post(
        "/v1/traces",
        content=gzip.compress(request.SerializeToString()),
        headers={"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"},
    )
    assert answer.status_code == 200
    told = ExportTraceServiceResponse.FromString(answer.content)
    assert told.partial_success.rejected_spans == 1
    assert "gen_ai.usage.input_tokens" in told.partial_success.error_message
    (envelope,) = collector.envelopes()
    assert len(envelope.decode()) == 1
    assert [reject.field for reject in envelope.rejects] == ["tokens.prompt"]
    assert b"Ann" not in envelope.rejects[0].payload


def test_partial_success_in_json(collector: Collector) -> None:
    told = as_json(request_of(make_spans(CALL, CALL, CALL)))
    spans = told["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans[0]["traceId"] = "not hex"
    spans[1]["startTimeUnixNano"] = {"low": 1}
    answer = collector.http.post("/v1/traces", json=told)
    assert answer.status_code == 200
    partial = answer.json()["partialSuccess"]
    assert partial["rejectedSpans"] == "2"
    assert "'not hex' is not hex" in partial["errorMessage"]
    (envelope,) = collector.envelopes()
    assert len(envelope.decode()) == 1
    assert [reject.field for reject in envelope.rejects] == ["", "startTimeUnixNano"]


def test_text_that_is_no_utf8_costs_its_span_alone(collector: Collector) -> None:
    body = request_of(make_spans(CALL, CALL | {"note": "XXXXXXXX"}, CALL)).SerializeToString()
    broken = body.replace(b"XXXXXXXX", b"\xff" * 8)
    assert broken != body
    headers = {"Content-Type": "application/x-protobuf"}
    answer = collector.http.post("/v1/traces", content=broken, headers=headers)
    assert answer.status_code == 200
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1
    (envelope,) = collector.envelopes()
    assert len(envelope.decode()) == 2
    assert [reject.index for reject in envelope.rejects] == [1]
    assert "UTF-8" in envelope.rejects[0].reason


def test_full_success_has_an_empty_answer(collector: Collector) -> None:
    request = request_of(make_spans(CALL))
    headers = {"Content-Type": "application/x-protobuf"}
    answer = collector.http.post("/v1/traces", content=request.SerializeToString(), headers=headers)
    assert answer.content == b""
    assert collector.http.post("/v1/traces", json=as_json(request)).json() == {}


def test_spans_that_are_no_model_calls_are_acknowledged_and_counted(collector: Collector) -> None:
    name = 'assay_collector_records_total{kind="span",result="ignored",source="otlp"}'

    def ignored() -> float:
        lines = collector.http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = ignored()
    answer = collector.http.post("/v1/traces", json=as_json(request_of(make_spans())))
    assert answer.json() == {}
    assert collector.envelopes() == []
    assert ignored() == before + 1


@pytest.mark.parametrize(
    ("media", "body", "status"),
    [
        ("application/x-protobuf", b"\x0a\xff\xff", 400),
        ("application/x-protobuf", b'[{"trace_id": "x"}]', 400),
        ("application/json", b"[]", 400),
        ("application/json", b'{"resourceSpans": [' * 20_000, 400),
        ("application/json", b"\xff", 400),
        ("text/plain", b"x", 415),
    ],
)
def test_unreadable_request(collector: Collector, media: str, body: bytes, status: int) -> None:
    answer = collector.http.post("/v1/traces", content=body, headers={"Content-Type": media})
    assert answer.status_code == status
    # google.rpc.Status: the code INVALID_ARGUMENT, then the message.
    if media == "application/json":
        assert answer.json()["code"] == 3
    else:
        assert answer.content.startswith(b"\x08\x03\x12")
    (envelope,) = collector.envelopes()
    assert envelope.rejects[0].reason.startswith(str(status))


def test_exporter_is_told_and_does_not_retry_what_cannot_succeed(
    collector: Collector, exporter: OTLPSpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert exporter.export(make_spans({**CALL, "gen_ai.request.model": ""})) is SpanExportResult.SUCCESS
    (envelope,) = collector.envelopes()
    assert [reject.field for reject in envelope.rejects] == ["model"]


def test_status_of_a_failure_is_a_google_rpc_status() -> None:
    from google.rpc.status_pb2 import Status as RpcStatus

    message = "x" * 300 + "é"
    told = RpcStatus.FromString(failure("application/x-protobuf", 14, message))
    assert (told.code, told.message) == (14, message)


def decoded_or_refused(decode: Callable[[bytes], Iterable[OtlpSpan | BadSpan]], body: bytes) -> bool:
    try:
        return all(isinstance(span, OtlpSpan | BadSpan) for span in decode(body))
    except RequestError as error:
        return error.status == 400


@given(st.binary(max_size=300))
def test_any_protobuf_is_decoded_or_refused(body: bytes) -> None:
    assert decoded_or_refused(decode_protobuf, body)


@given(data=st.data())
def test_a_bit_flipped_anywhere(data: st.DataObject) -> None:
    body = bytearray(_BODY)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert decoded_or_refused(decode_protobuf, bytes(body))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "resourceSpans",
                        "scopeSpans",
                        "spans",
                        "traceId",
                        "attributes",
                        "key",
                        "value",
                        "stringValue",
                        "intValue",
                        "arrayValue",
                        "values",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_decoded_or_refused(value: object) -> None:
    assert decoded_or_refused(decode_json, json.dumps(value).encode())


_BODY = request_of(make_spans(CALL)).SerializeToString()
