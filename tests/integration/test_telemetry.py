"""A stock OpenTelemetry exporter, told nothing, delivers spans that can be queried within seconds."""

from __future__ import annotations

import subprocess
import sys
import uuid

from tests.support.instance import OTLP_PORT, Instance

_PROGRAM = """
import sys
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource({"tenant.id": sys.argv[1]}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("a gateway")
for _ in range(20):
    with tracer.start_as_current_span("chat claude-sonnet-4-5") as span:
        span.set_attributes({
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 100,
        })
provider.shutdown()
"""


def test_exporter_without_an_endpoint_delivers_spans(demo: Instance) -> None:
    tenant = f"otel-{uuid.uuid4().hex[:8]}"
    port = demo.env["ASSAY_COLLECTOR_PORT"]
    # Another program may hold the OTLP port on a developer's machine; on a clean one nothing is configured.
    env = {} if port == str(OTLP_PORT) else {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    subprocess.run([sys.executable, "-c", _PROGRAM, tenant], env=env, check=True, timeout=60)

    def arrived() -> bool:
        with demo.client() as client:
            rows = client.query(
                "SELECT request_count, prompt_tokens, completion_tokens, priced_count, toString(cost_usd) "
                "FROM kpi_daily WHERE tenant_id = {tenant:String}",
                parameters={"tenant": tenant},
            ).result_rows
        # 20 × (1000 × 3 + 100 × 15) / 1,000,000 US dollars
        return rows == [(20, 20_000, 2_000, 20, "0.09")]

    demo.wait_for(arrived, "spans in the daily rollup", 30)
