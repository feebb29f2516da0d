"""The whole chain on one instance, as ``make demo`` starts it: telemetry in, public traces, the incident."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.support.browser import chromium
from tests.support.instance import OTLP_PORT, Instance, running_instance
from tests.support.processes import REPOSITORY


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """``assay up --demo``. It lives as long as this module: live traffic takes its share of the machine."""
    with running_instance(tmp_path_factory.mktemp("demo") / "data", "--demo") as instance:
        yield instance


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


def test_azure_trace_is_counted_once_and_exactly(demo: Instance, shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "azure_llm_2023_conv.csv"
    first = demo.json("load", "spans", str(file), "--format", "azure", "--json")
    again = demo.json("load", "spans", str(file), "--format", "azure", "--json")
    renamed = shutil.copy(file, tmp_path / "another-name.csv")
    copied = demo.json("load", "spans", str(renamed), "--format", "azure", "--json")

    assert first == {"accepted": 19_366, "duplicates": 0, "rejected": 0}
    assert again == copied == {"accepted": 0, "duplicates": 19_366, "rejected": 0}

    written = pd.read_csv(file)
    with demo.client() as client:
        rows = client.query(
            "SELECT sum(request_count), sum(prompt_tokens), sum(completion_tokens) FROM kpi_daily "
            "WHERE period_start >= '2023-11-01' AND period_start < '2023-12-01'"
        ).result_rows
    assert rows == [(len(written), written["ContextTokens"].sum(), written["GeneratedTokens"].sum())]


def test_mooncake_trace_with_its_cached_tokens(demo: Instance, shared_data: Path) -> None:
    file = shared_data / "mooncake_conversation.jsonl"
    first = demo.json("load", "spans", str(file), "--format", "mooncake", "--json")
    again = demo.json("load", "spans", str(file), "--format", "mooncake", "--json")
    assert first == {"accepted": 12_031, "duplicates": 0, "rejected": 0}
    assert again == {"accepted": 0, "duplicates": 12_031, "rejected": 0}

    seen: set[int] = set()
    prompt = completion = cached = 0
    for line in file.read_text().splitlines():
        request = json.loads(line)
        prompt += request["input_length"]
        completion += request["output_length"]
        known = next(
            (i for i, block in enumerate(request["hash_ids"]) if block not in seen), len(request["hash_ids"])
        )
        cached += min(known * 512, request["input_length"])
        seen.update(request["hash_ids"])
    with demo.client() as client:
        (day,) = client.query(
            "SELECT toDate(min(timestamp)) FROM llm_traces WHERE source = 'mooncake'"
        ).first_row
        rows = client.query(
            "SELECT sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens) FROM kpi_daily "
            "WHERE toDate(period_start) = {day:Date} "
            "AND (tenant_id, model, prompt_template_version) IN "
            "(SELECT tenant_id, model, prompt_template_version FROM llm_traces WHERE source = 'mooncake')",
            parameters={"day": day},
        ).result_rows
    assert rows == [(prompt, completion, cached)]


@pytest.mark.parametrize("kind", ["spans"])
def test_bad_rows_are_named_and_kept_apart(demo: Instance, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "half-good.ndjson"
    good = {
        "trace_id": "half-good-1",
        "span_id": "1",
        "timestamp": "2024-01-15T09:23:47.123Z",
        "model": "claude-sonnet-4-5",
        "tokens": {"prompt": 10, "completion": 5},
        "tenant_id": "half-good",
    }
    bad = {**good, "trace_id": "half-good-2", "tokens": {"prompt": -1, "completion": 5}}
    file.write_text("\n".join(json.dumps(row) for row in (good, bad)))
    assert demo.json("load", kind, str(file), "--json") == {"accepted": 1, "duplicates": 0, "rejected": 1}
    with demo.client() as client:
        rows = client.query(
            "SELECT field, payload FROM ingest_rejects WHERE payload LIKE '%half-good-2%'"
        ).result_rows
    assert len(rows) == 1
    assert rows[0][0] == "tokens.prompt"


# Two minutes from the start of the live traffic to the incident, and what it takes to see it.
_INCIDENT_S = 300


def _alerts(demo: Instance) -> list[dict[str, str]]:
    found: list[dict[str, str]] = demo.json("alerts", "list", "--all", "--json")["alerts"]
    return [alert for alert in found if alert["level"] == "page"]


@pytest.mark.waits
def test_incident_opens_one_alert_reaches_the_webhook_and_the_screen(demo: Instance) -> None:
    demo.wait_for(lambda: _alerts(demo), "a page", _INCIDENT_S)
    (alert,) = _alerts(demo)

    def told() -> bool:
        messages = httpx.get(f"{demo.url('WEBHOOK_SINK')}/messages", timeout=10, trust_env=False).text
        return alert["alert_id"] in messages or alert["tenant_id"] in messages

    demo.wait_for(told, "a message in the webhook sink", 60)

    screenshot = REPOSITORY / "artifacts" / "demo-incident.png"
    Path(screenshot).parent.mkdir(exist_ok=True)
    with sync_playwright() as playwright, chromium(playwright) as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(demo.url("DASHBOARD"))
        expect(page.get_by_text(alert["tenant_id"]).first).to_be_visible(timeout=30_000)
        expect(page.get_by_text("simulated", exact=False).first).to_be_visible(timeout=30_000)
        page.wait_for_timeout(3000)
        page.screenshot(path=str(screenshot), full_page=True)
    (still,) = _alerts(demo)
    assert still["alert_id"] == alert["alert_id"]


# dbt starts beside the first of the live traffic.
_BUILD_S = 180


def test_efficiency_has_its_figures_before_the_hour_is_over(demo: Instance) -> None:
    def built() -> bool:
        with demo.client() as client:
            rows = client.query(
                "SELECT count(), countIf(isNull(normalized_cost_usd)) FROM efficiency_daily "
                "WHERE kind = 'cost' AND tenant_id IN ('acme', 'globex', 'umbrella')"
            ).result_rows
        return bool(rows[0][0]) and not rows[0][1]

    demo.wait_for(built, "normalized cost of every template", _BUILD_S)


# The longest time without a heartbeat after which `assay status` calls a service (the judge) unhealthy.
_HEARTBEAT_S = 60


def test_every_service_is_healthy(demo: Instance) -> None:
    """On a machine with more to do than it can, one may be late for a moment: none stays so."""
    state: dict[str, Any] = {}

    def healthy() -> bool:
        state.update(demo.json("status", "--json"))
        return bool(state["healthy"])

    demo.wait_for(healthy, "every service healthy", _HEARTBEAT_S)
    names = {service["name"] for service in state["services"]}
    assert {"clickhouse", "valkey", "collector", "writer", "judge", "dashboard"} <= names
