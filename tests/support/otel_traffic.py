"""Spans of the real SDK, as the conventions of several instrumentations name their attributes."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

CURRENT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    # Too short to be taken for the same call in another trace.
    "gen_ai.response.id": "msg_1",
    "gen_ai.usage.input_tokens": 10_000,
    "gen_ai.usage.output_tokens": 1_000,
    "gen_ai.usage.cache_read.input_tokens": 8_000,
    "gen_ai.usage.cache_creation.input_tokens": 1_000,
    "gen_ai.response.finish_reasons": ["stop", "length"],
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.stream": True,
    "gen_ai.request.stop_sequences": ["a", "b"],
    "gen_ai.conversation.id": "c-1",
    "gen_ai.usage.cost": 0.0421,
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"The capital of France?"}]}]',
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Paris <b>&"}]}]',
    "assay.task_type": "rag",
}
PREVIOUS = {
    "gen_ai.system": "az.ai.openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.prompt_tokens": 500,
    "gen_ai.usage.completion_tokens": 20,
    "gen_ai.completion.0.finish_reason": "stop",
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "Hello",
    "gen_ai.completion.0.content": "Good day",
    "llm.request.type": "chat",
}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o-mini",
    "llm.provider": "openai",
    "llm.token_count.prompt": 700,
    "llm.token_count.completion": 30,
    "llm.token_count.prompt_details.cache_read": 600,
    "tenant.id": "org_9",
    "metadata": '{"a": 1}',
    "output.value": '{"id": "chatcmpl-7", "model": "gpt-4o-mini", "usage": null}',
}
FAILED = {**CURRENT, "error.type": "RateLimitError", "assay.pricing_tier": "batch"}
UNREADABLE = {**CURRENT, "gen_ai.usage.input_tokens": "many"}
AROUND = {**CURRENT, "gen_ai.operation.name": "invoke_agent"}
NO_CALL = {"http.request.method": "GET", "url.path": "/"}


def traffic() -> ExportTraceServiceRequest:
    """Spans of the real SDK: a request, in it an agent, in that calls; a call that repeats a call's usage."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(
        resource=Resource({"service.name": "shop", "tenant.id": "org_7", "deployment.environment": "live"})
    )
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("instrumentation", "1.0")
    with (
        tracer.start_as_current_span("GET /answer", attributes=NO_CALL),
        tracer.start_as_current_span("agent", attributes=AROUND),
        tracer.start_as_current_span("outer", attributes=CURRENT),
    ):
        for attributes in (CURRENT, PREVIOUS, OPENINFERENCE, FAILED, UNREADABLE):
            with tracer.start_as_current_span("chat", kind=SpanKind.CLIENT, attributes=attributes) as span:
                span.add_event("gen_ai.content.completion.chunk", {"text": "Par"})
                if "error.type" in attributes:
                    span.set_status(Status(StatusCode.ERROR, "it failed"))
    provider.shutdown()
    return ExportTraceServiceRequest.FromString(
        encode_spans(list(memory.get_finished_spans())).SerializeToString()
    )
