"""What attributes of each convention become."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.collector import genai
from assay.collector.otlp import BadSpan, Event, OtlpSpan
from assay.collector.spans import is_model_call, map_spans, tenant_of
from assay.collector.usage import UnreadableError
from assay.collector.values import pick, usage
from assay.contracts.records import Span
from tests.support.processes import REPOSITORY

NOW = datetime(2024, 1, 15, 10, 0, tzinfo=UTC)
START = int((NOW - timedelta(minutes=5)).timestamp()) * 10**9
CLIENT, INTERNAL = 3, 1


def otlp_span(
    attributes: dict[str, Any] | None = None,
    *,
    resource: dict[str, Any] | None = None,
    kind: int = CLIENT,
    status: int = 0,
    events: tuple[Event, ...] = (),
    **changes: Any,
) -> OtlpSpan:
    """A chat of 1.5 s; ``attributes`` replace or add, None removes."""
    base = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        **(attributes or {}),
    }
    span = OtlpSpan(
        trace_id="0af7651916cd43dd8448eb211c80319c",
        span_id="b7ad6b7169203331",
        parent_span_id="",
        name="chat",
        kind=kind,
        start_ns=START + 123_456_789,
        end_ns=START + 123_456_789 + 1_500_000_000,
        status_code=status,
        attributes={name: value for name, value in base.items() if value is not None},
        events=list(events),
        resource=resource or {},
    )
    return span._replace(**changes)


def mapped(span: OtlpSpan, **options: Any) -> Span:
    records, rejects, ignored = map_spans([span], now=NOW, **options)
    assert (rejects, ignored) == ([], 0)
    (record,) = records
    assert isinstance(record, Span)
    return record


OTEL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    "gen_ai.usage.input_tokens": 10_000,
    "gen_ai.usage.cache_read.input_tokens": 8_000,
    "gen_ai.usage.cache_creation.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 1_000,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.conversation.id": "conv-1",
}
PREVIOUS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "Anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    # The usage block as Anthropic gives it: without what was read from and written to the cache.
    "gen_ai.usage.prompt_tokens": 1_000,
    "gen_ai.usage.cache_read_input_tokens": 8_000,
    "gen_ai.usage.cache_creation_input_tokens": 1_000,
    "gen_ai.usage.completion_tokens": 1_000,
    "gen_ai.response.finish_reasons": '["stop"]',
    "session.id": "conv-1",
}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.provider": "anthropic",
    "llm.model_name": "claude-sonnet-4-5",
    "llm.response.model_name": "claude-sonnet-4-5-20250929",
    "llm.token_count.prompt": 10_000,
    "llm.token_count.prompt_details.cache_read": 8_000,
    "llm.token_count.prompt_details.cache_write": 1_000,
    "llm.token_count.completion": 1_000,
    "llm.token_count.total": 11_000,
    "llm.finish_reason": "stop",
    "session.id": "conv-1",
}
OPENLLMETRY = {
    "llm.request.type": "chat",
    "gen_ai.system": "Anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    "gen_ai.usage.input_tokens": 10_000,
    "gen_ai.usage.cache_read_input_tokens": 8_000,
    "gen_ai.usage.cache_creation_input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 1_000,
    "llm.usage.total_tokens": 11_000,
    "gen_ai.completion.0.finish_reason": "stop",
    "traceloop.association.properties.session_id": "conv-1",
}


@pytest.mark.parametrize(
    "attributes",
    [OTEL, PREVIOUS, OPENINFERENCE, OPENLLMETRY],
    ids=["current", "previous", "openinference", "openllmetry"],
)
def test_same_call_by_every_convention(attributes: dict[str, Any]) -> None:
    record = mapped(otlp_span()._replace(attributes=attributes))
    assert record.tokens.prompt == 10_000
    assert record.tokens.completion == 1_000
    assert record.tokens.cached == 8_000
    assert record.tokens.cache_write == 1_000
    assert record.tokens.reasoning is None
    assert record.provider == "anthropic"
    assert record.model == "claude-sonnet-4-5"
    assert record.response_model == "claude-sonnet-4-5-20250929"
    assert record.finish_reason == "stop"
    assert record.session_id == "conv-1"
    assert record.status == "ok"
    assert record.timestamp == datetime(2024, 1, 15, 9, 55, 0, 123456, tzinfo=UTC)
    assert record.latency_ms == 1500
    assert record.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert record.span_id == "b7ad6b7169203331"


# As LiteLLM's callback sets them on "Received Proxy Server Request".
LITELLM = {
    "metadata.user_api_key_hash": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
    "metadata.user_api_key_team_id": "team-search",
    "metadata.user_api_key_end_user_id": "customer-7",
    "metadata.user_api_key_user_id": "",
    "gen_ai.cost.input_cost": 0.002,
    "gen_ai.cost.total_cost": 0.0035,
    "gen_ai.request.model": "gpt-4o-mini",
    "llm.request.type": "acompletion",
    "gen_ai.system": "openai",
    "llm.is_streaming": "False",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.total_tokens": 137,
    "gen_ai.usage.output_tokens": 37,
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.operation.name": "acompletion",
    "gen_ai.response.finish_reasons": '["stop"]',
    "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]',
    "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}]',
}


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"gen_ai.response.id": "msg_1", "output.value": '{"id": "2", "model": "m", "usage": {}}'}, "msg_1"),
        # OpenInference writes the response as it came, and no id beside it.
        ({"output.value": '{"choices": [], "id": "chatcmpl-1", "model": "m", "usage": null}'}, "chatcmpl-1"),
        # What the model wrote is not the provider's response.
        ({"output.value": '{"id": "customer-7", "model": "Golf"}'}, ""),
        ({"output.value": '{"id": 7, "model": "m", "usage": {}}'}, ""),
        ({"output.value": '{"id": "chatcmpl'}, ""),
        # Its end may be what tells it from others.
        ({"gen_ai.response.id": "r" * 513}, ""),
    ],
)
def test_the_id_of_the_response(attributes: dict[str, str], expected: str) -> None:
    record = mapped(otlp_span()._replace(attributes={**LITELLM, "gen_ai.response.id": "", **attributes}))
    assert record.response_id == expected


def test_litellm() -> None:
    resource = {"service.name": "litellm", "deployment.environment": "production", "model_id": "litellm"}
    span = otlp_span(resource=resource, kind=2)._replace(attributes=LITELLM)
    record = mapped(span, wants_text=lambda _: True)
    assert record.tenant_id == "team-search"
    assert record.user_id == "customer-7"
    assert record.model == "gpt-4o-mini"
    assert record.provider == "openai"
    assert (record.tokens.prompt, record.tokens.completion) == (100, 37)
    assert record.cost_usd == Decimal("0.0035")
    assert record.environment == "production"
    assert record.finish_reason == "stop"
    assert record.input == "user: hello"
    assert record.output == "hi"
    assert record.attributes is not None
    assert record.attributes["llm.is_streaming"] == "False"
    assert record.attributes["service.name"] == "litellm"
    assert not any("messages" in name for name in record.attributes)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        # OpenTelemetry's rule: the cached tokens are inside.
        ({"input": 100, "cache_read": 80}, {"prompt": 100, "completion": 9, "cached": 80}),
        # More cached than prompt tokens: they were left out.
        ({"input": 10, "cache_read": 80}, {"prompt": 90, "completion": 9, "cached": 80}),
        (
            {"input": 10, "cache_read": 8, "cache_creation": 3},
            {"prompt": 21, "completion": 9, "cached": 8, "cache_write": 3},
        ),
        # Fewer, but the total is the sum of all the parts.
        ({"input": 100, "cache_read": 80, "total": 189}, {"prompt": 180, "completion": 9, "cached": 80}),
        ({"input": 100, "cache_read": 80, "total": 109}, {"prompt": 100, "completion": 9, "cached": 80}),
        # Known to be zero is not unknown.
        ({"input": 100, "cache_read": 0}, {"prompt": 100, "completion": 9, "cached": 0}),
        # Reasoning left out of the completion (Gemini's candidates).
        ({"input": 100, "reasoning": 50}, {"prompt": 100, "completion": 59, "reasoning": 50}),
        ({"input": 100, "reasoning": 5, "total": 109}, {"prompt": 100, "completion": 9, "reasoning": 5}),
        ({"input": 100, "reasoning": 5, "total": 114}, {"prompt": 100, "completion": 14, "reasoning": 5}),
        ({"input": "100"}, {"prompt": 100, "completion": 9}),
        ({"input": 100.0}, {"prompt": 100, "completion": 9}),
    ],
)
def test_usage(attributes: dict[str, Any], expected: dict[str, int]) -> None:
    names = {
        "input": "gen_ai.usage.input_tokens",
        "cache_read": "gen_ai.usage.cache_read.input_tokens",
        "cache_creation": "gen_ai.usage.cache_creation.input_tokens",
        "reasoning": "gen_ai.usage.reasoning.output_tokens",
        "total": "gen_ai.usage.total_tokens",
    }
    given = {names[name]: value for name, value in attributes.items()} | {"gen_ai.usage.output_tokens": 9}
    assert usage(pick(given), pick({})) == expected


def test_usage_that_says_what_it_leaves_out() -> None:
    attributes = {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 80,
        "gen_ai.usage.output_tokens": 9,
    }

    def prompt(span: dict[str, Any], resource: dict[str, Any]) -> int:
        return usage(pick(span), pick(resource))["prompt"]

    assert prompt(attributes, {genai.EXCLUDES_CACHE: True}) == 180
    assert prompt(attributes | {genai.EXCLUDES_CACHE: "true"}, {}) == 180
    assert prompt(attributes | {genai.EXCLUDES_CACHE: False}, {genai.EXCLUDES_CACHE: True}) == 100


@given(
    counts=st.dictionaries(
        st.sampled_from([row[0] for row in genai.TOKENS.values()]), st.integers(0, 2**31), min_size=1
    )
)
def test_usage_always_follows_the_contract(counts: dict[str, int]) -> None:
    found = usage(pick(counts), pick({}), failed=True)
    assert (found.get("cached") or 0) + (found.get("cache_write") or 0) <= found["prompt"]
    assert (found.get("reasoning") or 0) <= found["completion"]


@pytest.mark.parametrize("value", [-1, 1.5, "many", True, 2**33, float("nan"), [1]])
def test_what_is_no_count_is_named(value: Any) -> None:
    with pytest.raises(UnreadableError, match=r"gen_ai\.usage\.input_tokens") as error:
        usage(pick({"gen_ai.usage.input_tokens": value}), pick({}))
    assert error.value.field == "tokens.prompt"


NO_USAGE = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (otlp_span(), True),
        (otlp_span({"gen_ai.operation.name": None}), True),
        (otlp_span({"gen_ai.operation.name": "execute_tool"}), False),
        # An agent in this process repeats its calls; one over the network reports them only here.
        (otlp_span({"gen_ai.operation.name": "invoke_agent"}, kind=INTERNAL), False),
        (otlp_span({"gen_ai.operation.name": "invoke_agent"}, kind=CLIENT), True),
        (otlp_span({"openinference.span.kind": "AGENT"}), False),
        (otlp_span({"openinference.span.kind": "LLM"}), True),
        (otlp_span({"traceloop.span.kind": "workflow"}), False),
        # LiteLLM writes the model on every span of a request.
        (otlp_span({"gen_ai.operation.name": None, **NO_USAGE}), False),
        (
            otlp_span(
                {"gen_ai.operation.name": None, "gen_ai.request.model": None, **NO_USAGE, "http.route": "/"}
            ),
            False,
        ),
    ],
)
def test_which_spans_are_model_calls(span: OtlpSpan, expected: bool) -> None:
    assert is_model_call(pick(span.attributes), span.kind) is expected
    records, rejects, ignored = map_spans([span], now=NOW)
    assert (len(records), rejects, ignored) == ((1, [], 0) if expected else (0, [], 1))


@pytest.mark.parametrize(
    ("span", "field", "reason"),
    [
        (otlp_span(NO_USAGE), "tokens", "stream_options.include_usage"),
        (otlp_span({"gen_ai.request.model": None}), "model", "gen_ai.request.model"),
        (otlp_span({"gen_ai.usage.input_tokens": -5}), "tokens.prompt", "no token count"),
        (otlp_span(trace_id="0" * 32), "trace_id", "all zeros"),
        (otlp_span(span_id=""), "span_id", "empty"),
        (otlp_span(start_ns=0), "timestamp", "startTimeUnixNano"),
        (otlp_span(start_ns=2**64), "timestamp", "no time of a call"),
        (otlp_span(start_ns=2**64 - 1), "timestamp", "in the future"),
        (otlp_span(start_ns=START - 30 * 86400 * 10**9), "timestamp", "more than 7 days ago"),
        (otlp_span(start_ns=START + 86400 * 10**9), "timestamp", "in the future"),
        (otlp_span({"assay.tenant_id": "t" * 300}), "tenant_id", "length <= 256"),
        (otlp_span({"assay.status": "fine"}), "status", "invalid enum value"),
        (otlp_span({"assay.cost_usd": -1}), "cost_usd", "0 or more"),
    ],
)
def test_unreadable_call_is_named(span: OtlpSpan, field: str, reason: str) -> None:
    records, rejects, ignored = map_spans([otlp_span(), span, BadSpan("name", "broken", b"{}")], now=NOW)
    assert (len(records), ignored) == (1, 0)
    assert [(reject.index, reject.field) for reject in rejects] == [(1, field), (2, "name")]
    assert reason in rejects[0].reason


@pytest.mark.parametrize(
    ("attributes", "resource", "header", "tenant"),
    [
        ({"assay.tenant_id": "a", "tenant.id": "b"}, {"assay.tenant_id": "c"}, "d", "a"),
        ({"tenant.id": "b", "tenant_id": "b2"}, {"assay.tenant_id": "c"}, "d", "b"),
        ({"metadata.user_api_key_team_id": "team"}, {"tenant.id": "c"}, "d", "c"),
        ({"metadata.user_api_key_team_id": "team"}, {"service.name": "svc"}, "d", "d"),
        ({"metadata.user_api_key_team_id": "team"}, {"service.name": "svc"}, "", "team"),
        ({"metadata.user_api_key_team_id": ""}, {"service.name": "svc"}, "", "svc"),
        ({}, {}, "", "default"),
        ({"tenant.id": 42}, {}, "", "42"),
    ],
)
def test_tenant(attributes: dict[str, Any], resource: dict[str, Any], header: str, tenant: str) -> None:
    assert tenant_of(pick(attributes), pick(resource), header) == tenant


@pytest.mark.parametrize(
    ("attributes", "status_code", "status", "error_type"),
    [
        ({}, 0, "ok", ""),
        ({}, 1, "ok", ""),
        ({}, 2, "error", ""),
        ({"error.type": "RateLimitError", **NO_USAGE}, 2, "error", "RateLimitError"),
        ({"error.type": "timeout"}, 0, "error", "timeout"),
        ({"error.type": "asyncio.CancelledError"}, 2, "aborted", "asyncio.CancelledError"),
        ({"assay.status": "aborted"}, 0, "aborted", ""),
    ],
)
def test_status(attributes: dict[str, Any], status_code: int, status: str, error_type: str) -> None:
    record = mapped(otlp_span(attributes, status=status_code))
    assert (record.status, record.error_type) == (status, error_type)


@pytest.mark.parametrize(
    ("attributes", "events", "ttft"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, (), 250),
        ({"gen_ai.server.time_to_first_token": 0.5}, (), 500),
        ({"assay.ttft_ms": 120, "gen_ai.server.time_to_first_token": 0.5}, (), 120),
        ({}, (Event("First Token Stream Event", START + 123_456_789 + 300_000_000, {}),), 300),
        # Later than the end of the call: two clocks, no measurement.
        ({"gen_ai.response.time_to_first_chunk": 9}, (), None),
        ({}, (), None),
    ],
)
def test_time_to_first_token(
    attributes: dict[str, Any], events: tuple[Event, ...], ttft: float | None
) -> None:
    assert mapped(otlp_span(attributes, events=events)).ttft_ms == ttft


@pytest.mark.parametrize(
    ("attributes", "resource", "version"),
    [
        ({"assay.prompt_template_version": "rag-v3.2", "gen_ai.prompt.name": "x"}, {}, "rag-v3.2"),
        ({"gen_ai.prompt.name": "rag", "gen_ai.prompt.version": "v3.2"}, {}, "rag-v3.2"),
        ({"traceloop.prompt.key": "rag", "traceloop.prompt.version": 3}, {}, "rag-3"),
        ({"llm.prompt_template.version": "v9"}, {}, "v9"),
        ({}, {"assay.prompt_template_version": "r1"}, "r1"),
        ({}, {}, ""),
    ],
)
def test_template_version(attributes: dict[str, Any], resource: dict[str, Any], version: str) -> None:
    assert mapped(otlp_span(attributes, resource=resource)).prompt_template_version == version


@pytest.mark.parametrize(
    ("attributes", "field", "value"),
    [
        ({"openai.response.service_tier": "flex"}, "pricing_tier", "batch"),
        ({"gen_ai.openai.response.service_tier": "default"}, "pricing_tier", "standard"),
        ({"openai.response.service_tier": "priority"}, "pricing_tier", "priority"),
        ({"openai.response.service_tier": "scale"}, "pricing_tier", "provisioned"),
        ({"gen_ai.system": "vertex_ai"}, "provider", "gcp.vertex_ai"),
        ({"gen_ai.output.type": "image"}, "modality", "image"),
        ({"gen_ai.output.type": "json"}, "modality", ""),
        ({"assay.task_type": "qa"}, "task_type", "qa"),
        ({"enduser.id": "u1"}, "user_id", "u1"),
        ({"assay.experiment_id": "e1"}, "experiment_id", "e1"),
        ({"llm.cost.total": 0.1}, "cost_usd", Decimal("0.1")),
        ({"gen_ai.request.model": None, "gen_ai.response.model": "m-2"}, "model", "m-2"),
    ],
)
def test_other_fields(attributes: dict[str, Any], field: str, value: object) -> None:
    assert getattr(mapped(otlp_span(attributes)), field) == value


def test_attributes_are_bounded() -> None:
    many = {f"my.label.{number}": "v" * 5000 for number in range(1000)}
    attributes = mapped(otlp_span(many)).attributes
    assert attributes is not None
    assert len(attributes) <= 66
    assert max(map(len, attributes.values())) <= 1024
    assert int(attributes["assay.attributes_dropped"]) > 900


TEXT = "user: what is 2+2?"


@pytest.mark.parametrize(
    ("attributes", "events", "input_", "output"),
    [
        (
            {
                "gen_ai.system_instructions": '[{"type": "text", "content": "be brief"}]',
                "gen_ai.input.messages": [
                    {"role": "user", "parts": [{"type": "text", "content": "what is 2+2?"}]}
                ],
                "gen_ai.output.messages": [
                    {"role": "assistant", "parts": [{"type": "text", "content": "4"}]}
                ],
            },
            (),
            f"system: be brief\n{TEXT}",
            "4",
        ),
        (
            {
                "llm.input_messages.0.message.role": "user",
                "llm.input_messages.0.message.content": "what is 2+2?",
                "input.value": '{"messages": []}',
                "llm.output_messages.0.message.role": "assistant",
                "llm.output_messages.0.message.content": "4",
            },
            (),
            TEXT,
            "4",
        ),
        (
            {
                "gen_ai.prompt.0.role": "user",
                "gen_ai.prompt.0.content": "what is 2+2?",
                "gen_ai.completion.0.content": "4",
            },
            (),
            TEXT,
            "4",
        ),
        ({"input.value": "what is 2+2?", "output.value": "4"}, (), "what is 2+2?", "4"),
        (
            {},
            (
                Event(
                    "gen_ai.content.prompt",
                    0,
                    {"gen_ai.prompt": '[{"role": "user", "content": "what is 2+2?"}]'},
                ),
                Event("gen_ai.content.completion", 0, {"gen_ai.completion": '[{"content": "4"}]'}),
            ),
            TEXT,
            "4",
        ),
        ({}, (), None, None),
    ],
)
def test_text(
    attributes: dict[str, Any], events: tuple[Event, ...], input_: str | None, output: str | None
) -> None:
    span = otlp_span(attributes, events=events)
    record = mapped(span, wants_text=lambda tenant: tenant == "default")
    assert (record.input, record.output) == (input_, output)
    # Where it may not be kept, it is not even read, and is not left among the attributes either.
    silent = mapped(span)
    assert (silent.input, silent.output, silent.context) == (None, None, None)
    assert "2+2" not in repr(silent)


def test_retrieved_documents() -> None:
    attributes = {
        "retrieval.documents.0.document.content": "one",
        "retrieval.documents.1.document.content": "two",
    }
    assert mapped(otlp_span(attributes), wants_text=lambda _: True).context == ["one", "two"]


_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(max_size=12)
_ANY = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    attributes=st.dictionaries(st.sampled_from(sorted(genai.ROW_OF)), _ANY, max_size=12),
    start=st.integers(0, 2**64 - 1),
    end=st.integers(0, 2**64 - 1),
)
def test_any_attributes_are_mapped_rejected_or_ignored(
    attributes: dict[str, Any], start: int, end: int
) -> None:
    span = otlp_span(attributes)
    spans = [span, span._replace(start_ns=start, end_ns=end)]
    records, rejects, ignored = map_spans(spans, now=NOW, wants_text=lambda _: True)
    assert len(records) + len(rejects) + ignored == 2


def test_a_name_stands_in_one_row() -> None:
    names = [name for row in genai.ROWS.values() for name in row]
    assert len(names) == len(set(names))
    assert set(genai.TEXT_FIELDS) <= set(Span.__struct_fields__)


def test_every_name_is_documented() -> None:
    told = (REPOSITORY / "docs" / "collector.md").read_text(encoding="utf-8")
    missing = [
        name
        for field, names in genai.ROWS.items()
        if field not in ("text", "operation", "openinference_kind", "traceloop_kind", "request_type")
        for name in names
        if f"`{name}`" not in told and f"{name}=" not in told
    ]
    assert missing == []
