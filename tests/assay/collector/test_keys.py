"""API keys at the running collector, with the real store and queue behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from clickhouse_connect.driver.client import Client
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from assay.collector import queue
from assay.collector.envelope import Envelope
from assay.warehouse import api_keys
from tests.assay.collector.samples import live, record
from tests.support.databases import Databases
from tests.support.processes import answers, free_port, python, running, wait_for
from tests.support.stores import ClickHouse, Valkey

OTHERS = ("/v1/evaluations", "/v1/feedback", "/v1/outcomes", "/v1/labels")


@dataclass(frozen=True)
class Guarded:
    """A collector that requires keys."""

    url: str
    http: httpx.Client
    queue: redis.Redis
    store: Client
    log: Path

    def key(self, *tenants: str, scopes: tuple[str, ...] = ("write",), **options: Any) -> str:
        """The text of a new key that the collector knows."""
        text, made = api_keys.create(
            self.store, name="test", tenants=tenants or ["*"], scopes=scopes, **options
        )
        wait_for(lambda: self.knows(text), f"key {made.key_id}", 5)
        return text

    def knows(self, text: str) -> bool:
        """Whether the key is taken for one, whatever it is for."""
        return self.http.get("/metrics", headers=bearer(text)).status_code != 401

    def send(self, text: str, body: Any, path: str = "/v1/spans", **options: Any) -> httpx.Response:
        return self.http.post(path, json=body, headers=bearer(text), **options)

    def envelopes(self) -> list[Envelope]:
        return [queue.decode(entry) for _, entry in self.queue.xrange(queue.STREAM)]


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture(scope="module")
def process(
    clickhouse: ClickHouse,
    migrated_databases: Databases,
    valkey: Valkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str, Path]]:
    """URL, database and log of a collector that requires keys."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("guarded") / "log.txt"
    with migrated_databases.lend() as settings:
        env = {
            "ASSAY_COLLECTOR_PORT": str(port),
            "ASSAY_REDIS_URL": valkey.url.replace("/0", "/6"),
            "ASSAY_CLICKHOUSE_URL": clickhouse.url,
            "ASSAY_CLICKHOUSE_DATABASE": settings.clickhouse_database,
            "ASSAY_REQUIRE_KEYS": "always",
        }
        with running(python("assay.collector"), ready=answers(f"{url}/readyz"), log=log, env=env):
            yield url, settings.clickhouse_database, log
    assert "Traceback" not in log.read_text()


@pytest.fixture
def guarded(process: tuple[str, str, Path], clickhouse: ClickHouse, valkey: Valkey) -> Iterator[Guarded]:
    url, database, log = process
    with (
        httpx.Client(base_url=url, trust_env=False, timeout=20) as http,
        redis.Redis.from_url(valkey.url.replace("/0", "/6")) as client,
        clickhouse.client(database) as store,
    ):
        client.delete(queue.STREAM)
        yield Guarded(url, http, client, store, log)


def test_without_a_key_nothing_is_accepted(guarded: Guarded) -> None:
    wrong = {
        "": "an API key is required",
        "Bearer": "an API key is required",
        "Basic YTpi": "an API key is required",
        "Bearer sk-something": "an API key is required",
        "Bearer assay_abc": "no API key: it does not have the form",
    }
    for header, reason in wrong.items():
        answer = guarded.http.post("/v1/spans", json=live(), headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert reason in answer.json()["error"]
        assert "X-Assay-Key" in answer.json()["fix"] or "assay keys create" in answer.json()["fix"]
    answer = guarded.http.post("/v1/traces", json={}, headers={"X-Assay-Key": "x"})
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    assert guarded.http.get("/metrics").status_code == 401
    assert guarded.http.get("/healthz").status_code == guarded.http.get("/readyz").status_code == 200
    assert guarded.http.get("/openapi.json").status_code == 200
    assert guarded.http.get("/readyz").json()["checks"]["keys"].startswith("required; ")
    assert guarded.envelopes() == []


def test_a_key_opens_and_a_wrong_character_does_not(guarded: Guarded) -> None:
    text = guarded.key()
    assert guarded.send(text, live()).json() == {"accepted": 1, "rejected": []}
    assert guarded.http.post("/v1/spans", json=live(), headers={"X-Assay-Key": text}).status_code == 200
    mistyped = text[:-1] + ("a" if text[-1] != "a" else "b")
    answer = guarded.send(mistyped, live())
    assert answer.status_code == 401
    assert "checksum" in answer.json()["error"]
    # Right in form, and nobody's.
    answer = guarded.send(api_keys.api_key.generate()[0], live())
    assert (answer.status_code, answer.json()["error"]) == (401, "the API key is not known here")
    assert len(guarded.envelopes()) == 2


def test_scopes(guarded: Guarded) -> None:
    write, read = guarded.key(), guarded.key(scopes=("read", "control"))
    answer = guarded.send(read, live())
    assert answer.status_code == 403
    assert "is for control, read, not for write" in answer.json()["error"]
    assert guarded.http.get("/metrics", headers=bearer(write)).status_code == 403
    shown = guarded.http.get("/metrics", headers=bearer(read))
    assert shown.status_code == 200
    assert 'assay_collector_denied_total{route="/v1/spans",status="403"}' in shown.text
    # The metrics are of all tenants together.
    bound = guarded.http.get("/metrics", headers=bearer(guarded.key("org_1", scopes=("read",))))
    assert bound.status_code == 403
    assert "some tenants alone" in bound.json()["error"]


def test_expiry_revocation_rotation(guarded: Guarded) -> None:
    short = guarded.key(expires_at=datetime.now(UTC) + timedelta(seconds=4))
    old = guarded.key()
    assert guarded.send(short, live()).status_code == 200
    new, made = api_keys.rotate(guarded.store, old.split("_")[1], overlap=timedelta(hours=1))
    wait_for(lambda: guarded.knows(new), "the new key", 5)
    assert guarded.send(old, live()).status_code == guarded.send(new, live()).status_code == 200
    api_keys.revoke(guarded.store, made.key_id)
    wait_for(lambda: not guarded.knows(new), "the end of the new key", 5)
    answer = guarded.send(new, live())
    assert answer.status_code == 401
    assert "(test) was revoked at" in answer.json()["error"]
    assert guarded.send(old, live()).status_code == 200
    wait_for(lambda: guarded.send(short, live()).status_code == 401, "expiry", 10)
    assert "(test) expired at" in guarded.send(short, live()).json()["error"]
    used = api_keys.last_used(guarded.store)
    assert datetime.now(UTC) - used[old.split("_")[1]] < timedelta(minutes=2)


def test_spans_of_other_tenants_are_refused_one_by_one(guarded: Guarded) -> None:
    text = guarded.key("org_1", "org_2")
    spans = [
        live(tenant_id="org_1"),
        live(tenant_id="org_3", input="what somebody said"),
        {"bad": 1},
        live(tenant_id="org_2", span_id="2"),
        live(tenant_id="*"),
    ]
    answer = guarded.send(text, spans).json()
    assert answer["accepted"] == 2
    assert [(r["index"], r["field"]) for r in answer["rejected"]] == [
        (1, "tenant_id"),
        (2, "bad"),
        (4, "tenant_id"),
    ]
    assert "`tenant_id` = 'org_3' is none of the tenants" in answer["rejected"][0]["reason"]
    (envelope,) = guarded.envelopes()
    assert envelope.tenants == ["org_1", "org_2"]
    assert [r.tenant_id for r in envelope.decode()] == ["org_1", "org_2"]  # type: ignore[attr-defined]
    assert b"org_3" in envelope.rejects[0].payload
    assert b"somebody" not in envelope.rejects[0].payload


def otlp(spans: dict[str, dict[str, str]], resource: dict[str, str]) -> dict[str, Any]:
    """An OTLP request of one model call per entry, with its extra attributes."""

    def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"key": k, "value": {"intValue": v} if isinstance(v, int) else {"stringValue": v}}
            for k, v in values.items()
        ]

    now = int(datetime.now(UTC).timestamp() * 1e9)
    call = {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 1}
    found = [
        {
            "traceId": "0" * 31 + "1",
            "spanId": span_id.rjust(16, "0"),
            "startTimeUnixNano": str(now - 10**9),
            "endTimeUnixNano": str(now),
            "attributes": attributes({**call, **extra}),
        }
        for span_id, extra in spans.items()
    ]
    return {
        "resourceSpans": [
            {"resource": {"attributes": attributes(resource)}, "scopeSpans": [{"spans": found}]}
        ]
    }


def test_otlp_spans_of_other_tenants_are_a_partial_success(guarded: Guarded) -> None:
    body = otlp({"1": {}, "2": {"tenant.id": "org_1"}, "3": {"tenant.id": "org_9"}}, {"service.name": "shop"})
    answer = guarded.send(guarded.key("org_1"), body, "/v1/traces")
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert "span 2: `tenant_id` = 'org_9'" in answer.json()["partialSuccess"]["errorMessage"]
    (envelope,) = guarded.envelopes()
    # The span that names no tenant is the key's, not the service's.
    assert [(r.span_id[-1], r.tenant_id) for r in envelope.decode()] == [("1", "org_1"), ("2", "org_1")]  # type: ignore[attr-defined]
    assert (envelope.rejects[0].field, envelope.tenants) == ("tenant_id", ["org_1"])
    # With several tenants there is nothing to guess.
    answer = guarded.send(guarded.key("org_1", "org_2"), body, "/v1/traces")
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "2"
    # A header that names another tenant does not help.
    headers = {"X-Assay-Tenant": "org_9", **bearer(guarded.key("org_1"))}
    answer = guarded.http.post("/v1/traces", json=body, headers=headers)
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "2"


@pytest.mark.parametrize("header", ["X-Assay-Key={}", "Authorization=Bearer%20{}"])
def test_an_exporter_is_given_the_key_by_its_environment(
    guarded: Guarded, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = guarded.key("org_1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", guarded.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", header.format(text))
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    with provider.get_tracer("test").start_as_current_span("chat") as span:
        span.set_attribute("gen_ai.request.model", "gpt-4o")
        span.set_attribute("gen_ai.usage.input_tokens", 5)
        span.set_attribute("gen_ai.usage.output_tokens", 1)
    provider.shutdown()
    assert [r.tenant_id for e in guarded.envelopes() for r in e.decode()] == ["org_1"]  # type: ignore[attr-defined]


def test_what_speaks_of_traces_carries_the_tenants_of_its_key(guarded: Guarded) -> None:
    bound, free = guarded.key("org_1"), guarded.key()
    for path in OTHERS:
        kind = {"/v1/evaluations": "evaluation", "/v1/labels": "label", "/v1/outcomes": "outcome"}.get(
            path, "feedback"
        )
        assert guarded.send(bound, record(kind), path).json()["accepted"] == 1
        assert guarded.send(free, record(kind), path).json()["accepted"] == 1
    assert [e.tenants for e in guarded.envelopes()] == [["org_1"], []] * len(OTHERS)


@pytest.mark.parametrize("kind", ["deployment", "outcome", "label", "feedback"])
def test_what_names_no_tenant_is_the_keys_own(guarded: Guarded, kind: str) -> None:
    mine = [record(kind), record(kind) | {"tenant_id": "org_2"}]
    path = "/v1/feedback" if kind == "feedback" else f"/v1/{kind}s"
    answer = guarded.send(guarded.key("org_1"), mine, path).json()
    assert (answer["accepted"], answer["rejected"][0]["index"]) == (1, 1)
    assert answer["rejected"][0]["field"] == "tenant_id"
    (envelope,) = guarded.envelopes()
    assert [r.tenant_id for r in envelope.decode()] == ["org_1"]  # type: ignore[attr-defined]


def test_an_outcome_of_a_key_of_several_tenants_goes_by_its_trace_or_names_its_tenant(
    guarded: Guarded,
) -> None:
    signal = record("outcome") | {"trace_id": "", "user_id": "u1"}
    sent = [record("outcome"), signal, signal | {"tenant_id": "org_2"}]
    answer = guarded.send(guarded.key("org_1", "org_2"), sent, "/v1/outcomes").json()
    assert answer["accepted"] == 2
    (refused,) = answer["rejected"]
    assert (refused["index"], refused["field"]) == (1, "tenant_id")
    assert refused["reason"].startswith("`tenant_id` is missing")
    # A key of all tenants may leave open whose it is.
    assert guarded.send(guarded.key(), sent, "/v1/outcomes").json()["accepted"] == 3
    found = [[r.tenant_id for r in e.decode()] for e in guarded.envelopes()]  # type: ignore[attr-defined]
    assert found == [["", "org_2"], ["", "", "org_2"]]


def test_a_rate_is_kept_and_nothing_is_accepted_in_part(guarded: Guarded) -> None:
    text = guarded.key(records_per_second=0.05, burst=10)
    spans = [live(span_id=str(number)) for number in range(6)]
    assert guarded.send(text, spans).status_code == 200
    answer = guarded.send(text, spans)
    assert answer.status_code == 429
    # Two are missing, at one in 20 seconds.
    assert 35 <= int(answer.headers["retry-after"]) <= 40
    assert "0.05 records a second" in answer.json()["error"]
    assert guarded.send(text, [*spans[:3], {"bad": 1}]).json()["accepted"] == 3
    # Nothing left: refused by its headers alone, whatever the body is.
    answer = guarded.send(text, {}, "/v1/traces")
    assert (answer.status_code, answer.json()["code"]) == (429, 8)
    assert int(answer.headers["retry-after"]) > 0
    assert [len(e.decode()) for e in guarded.envelopes()] == [6, 3]


def test_the_last_known_keys_stay_and_none_are_made_up(
    clickhouse: ClickHouse, valkey: Valkey, tmp_path: Path
) -> None:
    """While the store is away at the start, senders are asked to come back, not told to give up."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {
        "ASSAY_COLLECTOR_PORT": str(port),
        "ASSAY_REDIS_URL": valkey.url.replace("/0", "/6"),
        "ASSAY_CLICKHOUSE_URL": f"http://127.0.0.1:{free_port()}",
        "ASSAY_REQUIRE_KEYS": "always",
    }
    log = tmp_path / "log.txt"
    text, _ = api_keys.api_key.generate()
    with (
        running(python("assay.collector"), ready=answers(f"{url}/healthz"), log=log, env=env),
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        answer = http.post("/v1/spans", json=live(), headers=bearer(text))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert http.get("/readyz").json()["checks"]["keys"].startswith("required; not read yet")
    assert text not in log.read_text()


def test_a_collector_that_others_reach_requires_keys_and_says_how_to_make_one(
    clickhouse: ClickHouse, migrated_databases: Databases, valkey: Valkey, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path / "log.txt"
    with migrated_databases.lend() as settings:
        env = {
            "ASSAY_HOST": "0.0.0.0",
            "ASSAY_COLLECTOR_PORT": str(port),
            "ASSAY_REDIS_URL": valkey.url.replace("/0", "/6"),
            "ASSAY_CLICKHOUSE_URL": clickhouse.url,
            "ASSAY_CLICKHOUSE_DATABASE": settings.clickhouse_database,
        }
        with (
            running(python("assay.collector"), ready=answers(f"{url}/readyz"), log=log, env=env),
            httpx.Client(base_url=url, trust_env=False) as http,
        ):
            assert http.post("/v1/spans", json=live()).status_code == 401
        assert "every request is refused" in log.read_text()
        assert "assay keys create" in log.read_text()
        with (
            running(
                python("assay.collector"),
                ready=answers(f"{url}/readyz"),
                log=log,
                env={**env, "ASSAY_REQUIRE_KEYS": "never"},
            ),
            httpx.Client(base_url=url, trust_env=False) as http,
        ):
            assert http.post("/v1/spans", json=live(), headers=bearer("assay_x")).status_code == 200
        assert "ASSAY_REQUIRE_KEYS=never: whoever reaches 0.0.0.0" in log.read_text()


def test_on_loopback_a_key_is_not_needed_but_holds_its_sender(
    clickhouse: ClickHouse, migrated_databases: Databases, valkey: Valkey, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with migrated_databases.lend() as settings, clickhouse.client(settings.clickhouse_database) as store:
        text, _ = api_keys.create(store, name="test", tenants=["org_1"], scopes=["write"])
        env = {
            "ASSAY_COLLECTOR_PORT": str(port),
            "ASSAY_REDIS_URL": valkey.url.replace("/0", "/6"),
            "ASSAY_CLICKHOUSE_URL": clickhouse.url,
            "ASSAY_CLICKHOUSE_DATABASE": settings.clickhouse_database,
        }
        with (
            running(
                python("assay.collector"), ready=answers(f"{url}/readyz"), log=tmp_path / "log.txt", env=env
            ),
            httpx.Client(base_url=url, trust_env=False) as http,
        ):
            assert http.post("/v1/spans", json=live()).json()["accepted"] == 1
            assert http.get("/metrics").status_code == 200
            # Someone else's credential, for a proxy in between.
            assert http.post("/v1/spans", json=live(), headers=bearer("sk-other")).json()["accepted"] == 1
            answer = http.post("/v1/spans", json=live(tenant_id="org_2"), headers=bearer(text))
            assert answer.json()["rejected"][0]["field"] == "tenant_id"
            wrong = text[:-1] + ("a" if text[-1] != "a" else "b")
            assert http.post("/v1/spans", json=live(), headers=bearer(wrong)).status_code == 401


def test_no_key_is_ever_written_down(guarded: Guarded) -> None:
    """Not in the log, not in the queue, not in an answer, not in the store, however it was sent."""
    text = guarded.key("org_1")
    cut = text[:-1]
    answers_seen = [
        guarded.send(text, live(tenant_id="org_1", attributes={"note": text})),
        guarded.send(text, live(tenant_id="org_2", model=text)),
        guarded.send(text, {"nope": text}),
        guarded.send(cut, live()),
        guarded.http.post(f"/v1/spans?key={text}", content=b"\x00", headers=bearer(text)),
        guarded.http.get(f"/{text}", headers=bearer(text)),
        guarded.http.post("/v1/spans", content=b"x", headers={**bearer(text), "Content-Encoding": "gzip"}),
        guarded.send(text, {"resourceSpans": [{"resource": 5}]}, "/v1/traces"),
    ]
    secret = text.split("_")[2]
    for answer in answers_seen[:5] + answers_seen[6:]:
        assert secret not in answer.text
    stream = b"".join(v for _, entry in guarded.queue.xrange(queue.STREAM) for v in entry.values())
    assert secret.encode() not in stream
    assert secret not in guarded.log.read_text()
    rows = [
        guarded.store.query(f"SELECT * FROM {table}").result_rows for table in ("api_keys", "api_key_uses")
    ]
    assert secret not in json.dumps(rows, default=str)
