"""An application with an instrumented client of a provider, as its owner would write it.

``python -m tests.support.instrumented NAME URL``: three calls to the provider at URL (one answer, one stream,
one error), exported over OTLP to where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says.
"""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module

import anthropic
import openai
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

INSTRUMENTATIONS = {
    # The client's own spans.
    "anthropic": None,
    "openllmetry-anthropic": ("opentelemetry.instrumentation.anthropic", "AnthropicInstrumentor"),
    "openllmetry-openai": ("opentelemetry.instrumentation.openai", "OpenAIInstrumentor"),
    "openinference-anthropic": ("openinference.instrumentation.anthropic", "AnthropicInstrumentor"),
    "openinference-openai": ("openinference.instrumentation.openai", "OpenAIInstrumentor"),
    "opentelemetry-openai": ("opentelemetry.instrumentation.openai_v2", "OpenAIInstrumentor"),
}
ANTHROPIC_MODEL = "claude-sonnet-4-5"
OPENAI_MODEL = "gpt-4o-mini"


def call_anthropic(url: str) -> None:
    client = anthropic.Anthropic(base_url=url, api_key="key", max_retries=0)

    def ask(question: str, *, stream: bool = False) -> object:
        return client.messages.create(
            model=ANTHROPIC_MODEL,
            max_tokens=2_000,
            messages=[{"role": "user", "content": question}],
            stream=stream,
        )

    ask("The capital of France?")
    for _ in ask("The capital of France?", stream=True):  # type: ignore[attr-defined]
        pass
    with contextlib.suppress(anthropic.RateLimitError):
        ask("fail")


def call_openai(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0)

    def ask(question: str, **options: object) -> object:
        return client.chat.completions.create(  # type: ignore[call-overload]
            model=OPENAI_MODEL, messages=[{"role": "user", "content": question}], **options
        )

    ask("The capital of France?")
    stream = ask("The capital of France?", stream=True, stream_options={"include_usage": True})
    for _ in stream:  # type: ignore[attr-defined]
        pass
    with contextlib.suppress(openai.RateLimitError):
        ask("fail")


def main(name: str, url: str) -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    if instrumentation := INSTRUMENTATIONS[name]:
        module, instrumentor = instrumentation
        getattr(import_module(module), instrumentor)().instrument(tracer_provider=provider)
    if name.endswith("anthropic"):
        call_anthropic(url)
    else:
        call_openai(url)
    provider.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
