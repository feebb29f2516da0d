"""Call logs of LiteLLM and Kong: what an entry means, and what an entry may never do."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.collector import kong, litellm
from assay.collector.gateway import Read, map_entries
from assay.collector.native import MAX_REJECTS
from assay.collector.spans import Mapped
from assay.contracts.records import Span, Tokens
from tests.assay.collector.conftest import Collector
from tests.assay.collector.samples import NOW, kong_entry, litellm_payload

READS = {"litellm": (litellm.read, litellm_payload), "kong": (kong.read, kong_entry)}


def mapped(read: Read, *entries: object, **options: Any) -> Mapped:
    return map_entries(json.dumps(list(entries)).encode(), read, now=NOW, **options)


def one(read: Read, entry: object, **options: Any) -> Span:
    found = mapped(read, entry, **options)
    assert found.rejects == []
    (record,) = found.records
    assert isinstance(record, Span)
    return record


def kong_call(**meta: Any) -> dict[str, Any]:
    entry = kong_entry()
    entry["ai"]["proxy"]["meta"] |= meta
    return entry


# -- what an entry means -------------------------------------------------------------------------------------


def test_litellm_payload() -> None:
    record = one(litellm.read, litellm_payload())
    assert (record.trace_id, record.span_id, record.tenant_id) == ("d18e920d", "chatcmpl-5e96", "org_42")
    assert record.timestamp.isoformat() == "2024-01-15T09:30:00+00:00"
    assert (record.latency_ms, record.ttft_ms) == (1_500, 250)
    assert (record.model, record.response_model) == ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929")
    assert (record.session_id, record.user_id, record.task_type) == ("chat-7", "ann", "rag")
    assert (record.status, record.finish_reason, record.cost_usd) == ("ok", "stop", Decimal("0.02415"))
    assert record.attributes is not None
    assert record.attributes["litellm.model_group"] == "smart"
    assert (record.input, record.output) == (None, None)


def test_kong_entry() -> None:
    record = one(kong.read, kong_entry())
    assert record.trace_id == record.span_id == "2f6946328ffc4946b8c9120704a4a155"
    assert record.timestamp.isoformat() == "2024-01-15T09:30:00+00:00"
    assert (record.tenant_id, record.task_type) == ("org_42", "rag")
    assert (record.latency_ms, record.ttft_ms, record.cost_usd) == (1_500, 250, Decimal("0.02415"))
    assert (record.model, record.response_model) == ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929")
    assert record.attributes is not None
    assert (record.attributes["kong.route"], record.attributes["kong.consumer"]) == ("chat", "shop")
    assert (record.input, record.output) == (None, None)


@pytest.mark.parametrize("gateway", READS)
def test_text_is_read_where_it_may_be_kept(gateway: str) -> None:
    read, entry = READS[gateway]
    record = one(read, entry(), wants_text=lambda tenant: tenant == "org_42")
    assert (record.input, record.output) == ("user: The capital of France?", "Paris.")


LITELLM_TENANTS = [
    ({}, "", "org_42"),
    ({}, "header", "header"),
    ({"request_tags": ["tenant:tagged"]}, "header", "tagged"),
    ({"metadata": {"requester_metadata": {"assay.tenant_id": "named"}}}, "header", "named"),
    ({"metadata": {"requester_custom_headers": {"x-assay-tenant": "asked"}}}, "", "asked"),
    ({"metadata": {"user_api_key_team_alias": "Shop"}}, "", "Shop"),
    ({"metadata": {"user_api_key_org_id": "org"}}, "", "org"),
    ({"metadata": {}}, "", "default"),
]


@pytest.mark.parametrize(("changes", "header", "tenant"), LITELLM_TENANTS)
def test_litellm_tenants(changes: dict[str, Any], header: str, tenant: str) -> None:
    assert one(litellm.read, litellm_payload(**changes), tenant=header).tenant_id == tenant


KONG_TENANTS = [
    ({}, "", "org_42"),
    ({}, "header", "header"),
    ({"service": {"tags": ["tenant:tagged"]}}, "header", "tagged"),
    ({"consumer": {"username": "shop"}}, "", "shop"),
    ({"consumer": None, "request": {"id": "1", "headers": {"x-consumer-custom-id": "id"}}}, "", "id"),
    ({"consumer": None, "request": {"id": "1", "headers": {"x-assay-tenant": "claimed"}}}, "", "claimed"),
    # What a client claims does not outrank whom Kong authenticated.
    ({"request": {"id": "1", "headers": {"x-assay-tenant": "claimed"}}}, "", "org_42"),
    ({"consumer": None}, "", "llm"),
    ({"consumer": None, "service": None}, "", "default"),
]


@pytest.mark.parametrize(("changes", "header", "tenant"), KONG_TENANTS)
def test_kong_tenants(changes: dict[str, Any], header: str, tenant: str) -> None:
    assert one(kong.read, kong_entry(**changes), tenant=header).tenant_id == tenant


@pytest.mark.parametrize("gateway", READS)
def test_a_key_of_some_tenants_writes_for_them_alone(gateway: str) -> None:
    read, entry = READS[gateway]
    found = mapped(read, entry(), tenants=frozenset({"org_1"}))
    assert found.records == []
    assert [(reject.field, reject.index) for reject in found.rejects] == [("tenant_id", 0)]
    nobodys = entry(consumer=None, metadata={"usage_object": {"prompt_tokens": 1}})
    assert one(read, nobodys, tenants=frozenset({"org_1"})).tenant_id == "org_1"


def test_a_failed_call_of_litellm() -> None:
    failure = {
        "status": "failure",
        "id": "b82f3837",
        "response": {},
        "response_cost": 0.0,
        "metadata": {"user_api_key_team_id": "org_42", "usage_object": {}},
        "error_information": {"error_code": "429", "error_class": "RateLimitError"},
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
    }
    record = one(litellm.read, litellm_payload(**failure))
    assert (record.status, record.error_type) == ("error", "RateLimitError")
    assert (record.tokens, record.cost_usd) == (Tokens(prompt=0, completion=0), None)
    # The attempts of one call have the same id: each is a span of its own, the same when it is sent again.
    other = one(litellm.read, litellm_payload(**failure, startTime=litellm_payload()["startTime"] + 1))
    again = one(litellm.read, litellm_payload(**failure))
    assert record.span_id == again.span_id != other.span_id
    assert record.trace_id == other.trace_id


def test_a_failed_call_that_used_tokens_keeps_them() -> None:
    record = one(litellm.read, litellm_payload(status="failure"))
    assert record.tokens.prompt == 10_000
    record = one(kong.read, kong_entry(response={"status": 499}))
    assert (record.status, record.tokens.prompt) == ("aborted", 10_000)


def test_what_litellm_answers_from_its_own_cache_used_no_tokens() -> None:
    record = one(litellm.read, litellm_payload(cache_hit=True, response_cost=0.0))
    assert (record.tokens, record.cost_usd) == (Tokens(prompt=0, completion=0), Decimal("0.0"))


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({"response_cost": 0.0, "response_cost_failure_debug_info": {"error_str": "no price"}}, None),
        ({"response_cost": 0.0, "zero_cost_diagnostic": {"reason": "unpriced"}}, None),
        ({"response_cost": None}, None),
        ({"response_cost": 1e-7}, Decimal("1e-7")),
    ],
)
def test_an_unknown_cost_is_not_zero(changes: dict[str, Any], cost: Decimal | None) -> None:
    assert one(litellm.read, litellm_payload(**changes)).cost_usd == cost
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "cost": 0}
    assert one(kong.read, kong_entry(usage)).cost_usd is None


@pytest.mark.parametrize(
    ("changes", "modality"),
    [({"call_type": "aimage_generation"}, "image"), ({"call_type": "atranscription"}, "audio"), ({}, "")],
)
def test_modalities(changes: dict[str, Any], modality: str) -> None:
    assert one(litellm.read, litellm_payload(**changes)).modality == modality


@pytest.mark.parametrize(
    ("read", "entry"),
    [
        (litellm.read, litellm_payload(call_type="alist_files", metadata={}, response={}, prompt_tokens=0,
                                       completion_tokens=0, total_tokens=0)),
        (kong.read, kong_entry(ai=None)),
        (kong.read, kong_entry(ai={"compressor": {"save_token_count": 5}, "payload": {"request": "x"}})),
    ],
)  # fmt: skip
def test_what_calls_no_model_is_ignored(read: Read, entry: dict[str, Any]) -> None:
    found = mapped(read, entry)
    assert (found.records, found.rejects, found.ignored) == ([], [], 1)


def test_every_ai_plugin_of_kong_that_called_a_model_is_a_call() -> None:
    entry = kong_entry()
    entry["ai"]["ai-llm-as-judge"] = {
        "meta": {"request_model": "gpt-4o", "provider_name": "openai"},
        "usage": {"prompt_token": 28, "completion_token": 20, "total_tokens": 48},
    }
    records = [record for record in mapped(kong.read, entry).records if isinstance(record, Span)]
    assert [record.model for record in records] == ["claude-sonnet-4-5", "gpt-4o"]
    assert len({record.span_id for record in records}) == 2
    assert len({record.trace_id for record in records}) == 1
    assert records[1].tokens == Tokens(prompt=28, completion=20)


@pytest.mark.parametrize(
    ("entry", "ttft_ms", "latency_ms"),
    [
        (kong_call(), 250, 1_500),
        (kong_call(request_mode="oneshot"), None, 1_500),
        (kong_call(llm_latency=-1), 250, 1_520),
        (kong_call(llm_latency=200), None, 200),
    ],
)
def test_times_of_kong(entry: dict[str, Any], ttft_ms: float | None, latency_ms: float) -> None:
    record = one(kong.read, entry)
    assert (record.ttft_ms, record.latency_ms) == (ttft_ms, latency_ms)


def test_kong_continues_the_clients_trace() -> None:
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    record = one(kong.read, kong_entry(request={"id": "1", "headers": {"traceparent": parent}}))
    assert (record.trace_id, record.parent_span_id) == ("ab" * 16, "cd" * 8)


# -- ids, bodies, refusals -----------------------------------------------------------------------------------


def test_entries_without_an_id_get_one_from_their_content() -> None:
    bare = kong_entry(request={})
    first, second = (
        mapped(kong.read, bare, bare, kong_entry(request={}, started_at=1_705_311_000_001)) for _ in "ab"
    )
    ids = [record.span_id for record in first.records if isinstance(record, Span)]
    assert len(set(ids)) == 3
    assert ids == [record.span_id for record in second.records if isinstance(record, Span)]


@pytest.mark.parametrize("gateway", READS)
def test_every_shape_of_body(gateway: str) -> None:
    read, entry = READS[gateway]
    text = json.dumps(entry())
    for body in (text, f"[{text}]", f"{text}\n{text}\n", json.dumps(entry(), indent=1)):
        found = map_entries(body.encode(), read, now=NOW)
        assert found.rejects == []
        assert found.records


@pytest.mark.parametrize(
    ("read", "entry", "field", "reason"),
    [
        (litellm.read, litellm_payload(startTime=None), "timestamp", "`startTime` is no Unix time"),
        (litellm.read, litellm_payload(startTime=1), "timestamp", "lies before 1970-01-02"),
        (litellm.read, litellm_payload(startTime=1_600_000_000), "timestamp", "more than 7 days ago"),
        (litellm.read, litellm_payload(model=None, model_group=""), "model", "`model` is missing"),
        (litellm.read, litellm_payload(metadata={}, response={}, prompt_tokens=0, completion_tokens=0,
                                       total_tokens=0), "tokens", "without token usage"),
        (litellm.read, litellm_payload(metadata={"usage_object": {"prompt_tokens": -1}}),
         "usage.prompt_tokens", "no token count"),
        (litellm.read, 7, "", "has to be a JSON object, got int"),
        (litellm.read, litellm_payload(id="x" * 300), "span_id", "length <= 256"),
        (kong.read, kong_entry(started_at="never"), "timestamp", "`started_at` is no Unix time"),
        (kong.read, kong_entry({"cost": 1}), "tokens", "log_statistics"),
        (kong.read, kong_call(request_model=None, response_model=None), "model", "request_model` is missing"),
    ],
)  # fmt: skip
def test_refusals_name_field_and_fix_and_cost_their_entry_alone(
    read: Read, entry: Any, field: str, reason: str
) -> None:
    good = litellm_payload() if read is litellm.read else kong_entry()
    found = mapped(read, entry, good)
    assert len(found.records) == 1
    assert [(reject.index, reject.field) for reject in found.rejects] == [(0, field)]
    assert reason in found.rejects[0].reason
    assert b"France" not in found.rejects[0].payload


def test_a_body_of_nothing_but_refusals_ends() -> None:
    body = b"[" + b",".join([b"1"] * (MAX_REJECTS + 50)) + b"]"
    found = map_entries(body, kong.read, now=NOW)
    assert len(found.rejects) == MAX_REJECTS + 1
    assert "the rest was not read" in found.rejects[-1].reason


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _changed(entry: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    changed = json.loads(json.dumps(entry))
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return dict(changed)


def _paths(value: Any, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [before] if before else []
    return [*([before] if before else []), *(p for k, v in value.items() for p in _paths(v, (*before, k)))]


@pytest.mark.parametrize("gateway", READS)
@given(st.data())
def test_any_value_in_any_place_is_a_record_a_reject_or_no_call(gateway: str, data: st.DataObject) -> None:
    read, make = READS[gateway]
    path = list(data.draw(st.sampled_from(_paths(make()))))
    found = mapped(read, _changed(make(), path, data.draw(_json)), make(), wants_text=lambda _tenant: True)
    assert len(found.records) + len(found.rejects) + found.ignored == 2
    assert found.records


# -- over HTTP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gateway", READS)
def test_over_http(collector: Collector, gateway: str) -> None:
    _, make = READS[gateway]
    entry = make()
    now = time.time() - 60
    entry |= {
        "startTime": now,
        "endTime": now + 1,
        "completionStartTime": now + 1,
        "started_at": int(now * 1000),
    }
    answer = collector.http.post(f"/v1/{gateway}", json=[entry, 5])
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert [rejected["index"] for rejected in answer.json()["rejected"]] == [1]
    (envelope,) = collector.envelopes()
    assert (envelope.kind, envelope.source, len(envelope.rejects)) == ("span", gateway, 1)
    (record,) = envelope.decode()
    assert isinstance(record, Span)
    assert (record.tenant_id, record.tokens.prompt, record.input) == ("org_42", 10_000, None)
    assert collector.http.post(f"/v1/{gateway}", content=b" ").status_code == 400
