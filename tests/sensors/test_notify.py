"""Deliveries through Slack's own client to a webhook on loopback that can be told to fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from clickhouse_connect.driver.client import Client

from assay.dashboard.overview.selection import Selection
from assay.settings import Settings
from sensors import alerts
from sensors.alerts import Event
from sensors.messages import dashboard_link, message
from sensors.notify import DeliveryError, deliver
from tests.support.processes import free_port

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
EVIDENCE: dict[str, Any] = {
    "cost_ratio": 3.0,
    "cost_expected_usd": 0.002,
    "cost_p50_usd": 0.006,
    "quality_ratio": 0.6,
    "quality_expected": 0.85,
    "quality_p50": 0.51,
    "requests": 40,
    "evaluations": 38,
    "window": {"start": "2026-05-04T09:55:00+00:00", "end": "2026-05-04T10:00:00+00:00", "minutes": 5},
    "baseline_as_of": "2026-05-04",
    "baseline_of": "itself",
    "diagnosis": {"changes": ["model large went from 0% to 80% of calls"]},
}


@dataclass
class Sink:
    """A webhook. It answers with ``status`` and keeps what it answered 200 to."""

    url: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    received: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0


@pytest.fixture
def sink() -> Iterator[Sink]:
    found = Sink("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.asked += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if found.status == 200:
                found.received.append({"path": self.path, **body})
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok" if found.status == 200 else b"broken")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def opened(alert_id: str = "a1", **changes: Any) -> Event:
    fields = {
        "alert_id": alert_id,
        "event": "opened",
        "occurred_at": NOW,
        "tenant_id": "org_1",
        "level": "page",
        "rule": "dual-cost-led",
        "scope": "template",
        "model": "",
        "prompt_template_version": "rag-v1",
        "cohort": "production",
        "summary": "rag-v1: cost × 3.00, quality × 0.60",
        "evidence": EVIDENCE,
    }
    return Event(**{**fields, **changes})


def configured(settings: Settings, **urls: str) -> Settings:
    return settings.model_copy(update=urls)


def state(client: Client, alert_id: str = "a1") -> dict[str, Any]:
    return client.query(
        "SELECT status, level, deliveries, delivery_error FROM alerts_current WHERE alert_id = {id:String}",
        parameters={"id": alert_id},
    ).first_item


def test_each_opening_upgrade_and_resolution_is_delivered_once(
    built: Settings, client: Client, sink: Sink
) -> None:
    settings = configured(built, slack_webhook_url=f"{sink.url}/T0/B0")
    upgraded = opened(event="upgraded", occurred_at=NOW + timedelta(minutes=3), discriminator="10:03")
    alerts.write(client, [opened(level="investigate"), upgraded, opened(event="updated", discriminator="1")])
    assert deliver(client, settings, NOW + timedelta(minutes=4)) == 2
    assert deliver(client, settings, NOW + timedelta(minutes=5)) == 0
    alerts.write(client, [opened(event="resolved", occurred_at=NOW + timedelta(minutes=30))])
    assert deliver(client, settings, NOW + timedelta(minutes=31)) == 1
    headings = [m["blocks"][0]["text"]["text"] for m in sink.received]
    assert headings == [
        "Investigate · org_1 · rag-v1",
        "Now a page · org_1 · rag-v1",
        "Resolved: page · org_1 · rag-v1",
    ]
    assert {m["path"] for m in sink.received} == {"/T0/B0"}
    assert state(client)["deliveries"] == 3


def test_a_failing_webhook_is_visible_and_tried_again(built: Settings, client: Client, sink: Sink) -> None:
    settings = configured(built, slack_webhook_url=sink.url)
    alerts.write(client, [opened(), opened("a2")])
    sink.status = 404
    for minute in (1, 2):
        with pytest.raises(
            DeliveryError, match="0 delivered, then: the webhook of production answered 404 broken"
        ):
            deliver(client, settings, NOW + timedelta(minutes=minute))
    # A channel that is gone is not asked again for every message.
    assert sink.asked == 2
    assert state(client)["delivery_error"] == "the webhook of production answered 404 broken"
    assert state(client)["status"] == "open"
    failures = client.query("SELECT count() FROM alerts WHERE event = 'delivery_failed'").first_item
    assert failures["count()"] == 1
    sink.status = 200
    assert deliver(client, settings, NOW + timedelta(minutes=3)) == 2
    assert state(client) == {"status": "open", "level": "page", "deliveries": 1, "delivery_error": ""}


def test_one_refused_message_does_not_hold_up_the_others(built: Settings, client: Client, sink: Sink) -> None:
    settings = configured(built, slack_webhook_url=sink.url)
    alerts.write(client, [opened(), opened("a2"), opened("a3")])
    sink.status = 400
    with pytest.raises(DeliveryError, match="answered 400"):
        deliver(client, settings, NOW)
    assert sink.asked == 3


def test_a_webhook_that_does_not_listen(built: Settings, client: Client) -> None:
    settings = configured(built, slack_webhook_url=f"http://127.0.0.1:{free_port()}")
    alerts.write(client, [opened()])
    with pytest.raises(DeliveryError, match="the webhook of production cannot be reached"):
        deliver(client, settings, NOW)
    assert "cannot be reached" in state(client)["delivery_error"]


@pytest.mark.parametrize(("after", "asked"), [("0", 2), ("600", 1)])
def test_a_rate_limit_is_waited_out_only_where_it_is_short(
    built: Settings, client: Client, sink: Sink, after: str, asked: int
) -> None:
    settings = configured(built, slack_webhook_url=sink.url)
    alerts.write(client, [opened()])
    sink.status, sink.headers = 429, {"Retry-After": after}
    with pytest.raises(DeliveryError, match="answered 429"):
        deliver(client, settings, NOW)
    assert sink.asked == asked


def test_experiments_have_their_own_channel(built: Settings, client: Client, sink: Sink) -> None:
    alerts.write(client, [opened(), opened("e1", cohort="experiment", level="investigate")])
    only_on_call = configured(built, slack_webhook_url=f"{sink.url}/oncall")
    assert deliver(client, only_on_call, NOW) == 1
    both = configured(only_on_call, experiment_webhook_url=f"{sink.url}/experiments")
    assert deliver(client, both, NOW) == 1
    assert [(m["path"], m["text"].split(":")[0]) for m in sink.received] == [
        ("/oncall", "Page · org_1 · rag-v1"),
        ("/experiments", "Experiment, investigate · org_1 · rag-v1"),
    ]


def test_without_a_webhook_alerts_are_stored_only(built: Settings, client: Client) -> None:
    alerts.write(client, [opened()])
    assert deliver(client, built, NOW) == 0
    assert state(client) == {"status": "open", "level": "page", "deliveries": 0, "delivery_error": ""}


def test_old_news_is_not_delivered(built: Settings, client: Client, sink: Sink) -> None:
    alerts.write(client, [opened()])
    assert deliver(client, configured(built, slack_webhook_url=sink.url), NOW + timedelta(hours=25)) == 0


def test_a_message_says_what_changed_and_where_to_look() -> None:
    event = opened(tenant_id="a&b <co>", summary="rag-v1: <b>dear</b>")
    found = message(event, Settings(runbook_url="https://wiki/runbook"))
    text = json.dumps(found["blocks"], ensure_ascii=False)
    assert "× 3.00 ($0.002 → $0.006)" in text
    assert "× 0.60 (0.85 → 0.51)" in text
    assert "40 calls, 38 scores" in text
    assert "model large went from 0% to 80% of calls" in text
    assert "<https://wiki/runbook|Runbook>" in text
    assert "assay alerts ack a1 --by you" in text
    assert "&lt;b&gt;dear" in text
    assert "<b>" not in text


def test_unknown_quality_is_said_to_be_unknown() -> None:
    found = message(opened(evidence={**EVIDENCE, "quality_ratio": None}), Settings())
    assert "*Quality*\nunknown" in [f["text"] for f in found["blocks"][2]["fields"]]


def test_the_dashboard_understands_the_link() -> None:
    event = opened(tenant_id="a&b", model="gpt/4", cohort="experiment")
    link = urlsplit(dashboard_link(event, Settings(dashboard_port=8051)))
    assert (link.netloc, link.path) == ("127.0.0.1:8051", "/")
    shown = Selection.of(parse_qs(link.query))
    assert (shown.tenants, shown.models, shown.templates) == (("a&b",), ("gpt/4",), ("rag-v1",))
    assert (shown.cohort, shown.range, shown.group_by) == ("experiment", "6h", "model")
