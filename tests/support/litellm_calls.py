"""An application that calls models through LiteLLM, its calls logged to the collector.

``python -m tests.support.litellm_calls URL``: URL is that of the providers' double. Both callbacks,
``generic_api`` and ``otel``, log every call. The collector is where ``OTEL_EXPORTER_OTLP_ENDPOINT`` says.
"""

from __future__ import annotations

import asyncio
import os
import sys

# Before it is imported: its price list comes with the package, and nothing is fetched.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["USE_OTEL_LITELLM_REQUEST_SPAN"] = "true"

import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger
from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig

from tests.support.instrumented import ANTHROPIC_MODEL, OPENAI_MODEL

METADATA = {"user_api_key_team_id": "org_42", "tags": ["nightly"]}


async def calls(url: str) -> None:
    """An answer, a stream, an error."""

    def ask(model: str, question: str, base: str, **options: object) -> object:
        return litellm.acompletion(
            model=model,
            messages=[{"role": "user", "content": question}],
            api_base=base,
            api_key="key",
            # LiteLLM notes in it what it has logged: a dictionary of several calls would log the first alone.
            metadata=dict(METADATA),
            max_retries=0,
            **options,
        )

    claude = f"anthropic/{ANTHROPIC_MODEL}"
    await ask(claude, "The capital of France?", url)  # type: ignore[misc]
    async for _ in await ask(claude, "The capital of France?", url, stream=True):  # type: ignore[misc]
        pass
    try:
        await ask(f"openai/{OPENAI_MODEL}", "fail", f"{url}/v1")  # type: ignore[misc]
    except litellm.RateLimitError:
        return
    raise AssertionError("the double has to refuse the third call")


class Counting(CustomLogger):
    """Knows when LiteLLM has logged every call: it does so after it has answered."""

    def __init__(self) -> None:
        super().__init__()
        self.logged = 0

    async def async_log_success_event(self, *_: object, **__: object) -> None:
        self.logged += 1

    async def async_log_failure_event(self, *_: object, **__: object) -> None:
        self.logged += 1


async def main(url: str) -> None:
    collector = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    counting = Counting()
    log = GenericAPILogger(endpoint=f"{collector}/v1/litellm")
    config = OpenTelemetryConfig(exporter="otlp_http", endpoint=f"{collector}/v1/traces")
    spans = OpenTelemetry(config=config)
    # The last to be told is the one that counts.
    litellm.callbacks = [log, spans, counting]
    await calls(url)
    for _ in range(200):
        if counting.logged == 3:
            break
        await asyncio.sleep(0.05)
    assert counting.logged == 3, counting.logged
    # Send what their batches still hold.
    await log.async_send_batch()
    spans._tracer_provider.force_flush()  # type: ignore[attr-defined]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
