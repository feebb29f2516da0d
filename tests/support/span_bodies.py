"""Request bodies that hold spans, as exporters write them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from assay.contracts.records import Span

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def otlp_body(spans: Iterable[Span]) -> bytes:
    """A protobuf ``ExportTraceServiceRequest`` with the attribute names of OpenTelemetry GenAI."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for span in spans:
        start_ns = (span.timestamp - _EPOCH) // timedelta(microseconds=1) * 1_000
        scope.spans.add(
            trace_id=bytes.fromhex(span.trace_id),
            span_id=bytes.fromhex(span.span_id),
            name=f"chat {span.model}",
            kind=3,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=start_ns + int((span.latency_ms or 0) * 1e6),
            attributes=[
                _text("gen_ai.operation.name", "chat"),
                _text("gen_ai.provider.name", span.provider or "anthropic"),
                _text("gen_ai.request.model", span.model),
                _number("gen_ai.usage.input_tokens", span.tokens.prompt),
                _number("gen_ai.usage.output_tokens", span.tokens.completion),
                _text("assay.tenant_id", span.tenant_id),
                _text("assay.prompt_template_version", span.prompt_template_version),
            ],
        )
    return request.SerializeToString()


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def _number(key: str, value: int) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(int_value=value))
