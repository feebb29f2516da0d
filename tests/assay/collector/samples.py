"""Records as senders write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2024, 1, 15, 10, 0, tzinfo=UTC)


def span(**changes: Any) -> dict[str, Any]:
    """A span of half an hour before :data:`NOW`."""
    return {
        "trace_id": "abc123",
        "span_id": "gateway-001",
        "timestamp": "2024-01-15T09:23:47.123Z",
        "model": "claude-3-sonnet-20240229",
        "tokens": {"prompt": 1247, "completion": 342, "cached": 800},
        "tenant_id": "org_42",
        **changes,
    }


def live(**changes: Any) -> dict[str, Any]:
    """A span of a minute ago."""
    return span(timestamp=(datetime.now(UTC) - timedelta(minutes=1)).isoformat(), **changes)


def record(kind: str) -> dict[str, Any]:
    """A record of ``kind`` of a minute ago."""
    at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    return {
        "span": live(),
        "evaluation": {
            "trace_id": "abc123",
            "evaluator": "judge",
            "evaluator_version": "2",
            "score": 0.87,
            "timestamp": at,
        },
        "feedback": {
            "trace_id": "abc123",
            "value": -1,
            "timestamp": at,
            "comment": "mail me: ann@example.org",
        },
        "outcome": {"trace_id": "abc123", "event": "conversion", "value": 19.99, "timestamp": at},
        "label": {"trace_id": "abc123", "rater": "ann", "score": 0.5, "timestamp": at},
        "deployment": {"version": "v7", "description": "new retriever", "timestamp": at},
    }[kind]


def litellm_payload(**changes: Any) -> dict[str, Any]:
    """LiteLLM's payload of a call of half an hour before :data:`NOW`, as version 1.110 writes it."""
    usage = {
        "prompt_tokens": 10_000,
        "completion_tokens": 1_000,
        "total_tokens": 11_000,
        "prompt_tokens_details": {
            "cached_tokens": 8_000,
            "cache_creation_tokens": 1_000,
            "cache_creation_token_details": {
                "ephemeral_5m_input_tokens": 1_000,
                "ephemeral_1h_input_tokens": 0,
            },
        },
        "cache_creation_input_tokens": 1_000,
        "cache_read_input_tokens": 8_000,
    }
    started = (NOW - timedelta(minutes=30)).timestamp()
    return {
        "id": "chatcmpl-5e96",
        "litellm_call_id": "b82f3837",
        "trace_id": "d18e920d",
        "session_id": "chat-7",
        "call_type": "acompletion",
        "cache_hit": None,
        "stream": True,
        "status": "success",
        "custom_llm_provider": "anthropic",
        "startTime": started,
        "endTime": started + 1.5,
        "completionStartTime": started + 0.25,
        "model": "claude-sonnet-4-5",
        "model_group": "smart",
        "model_id": "deployment-1",
        "metadata": {
            "user_api_key_team_id": "org_42",
            "user_api_key_team_alias": "Shop",
            "user_api_key_user_id": "key-owner",
            "requester_metadata": None,
            "usage_object": usage,
        },
        "response_cost": 0.02415,
        "total_tokens": 11_000,
        "prompt_tokens": 10_000,
        "completion_tokens": 1_000,
        "request_tags": ["jobs", "assay.task_type:rag"],
        "end_user": "ann",
        "messages": [{"role": "user", "content": "The capital of France?"}],
        "response": {
            "model": "claude-sonnet-4-5-20250929",
            "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "Paris."}}],
            "usage": usage,
        },
        "error_str": None,
        "error_information": {"error_code": "", "error_class": ""},
        **changes,
    }


def kong_entry(usage: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Kong's log entry of such a call, as version 3.12 writes it."""
    call = {
        "meta": {
            "plugin_id": "5df193be",
            "provider_name": "anthropic",
            "request_model": "claude-sonnet-4-5",
            "response_model": "claude-sonnet-4-5-20250929",
            "request_mode": "stream",
            "llm_latency": 1_500,
        },
        "usage": {
            "prompt_tokens": 10_000,
            "prompt_tokens_details": {"cached_tokens": 8_000, "cache_write_tokens": 1_000},
            "completion_tokens": 1_000,
            "completion_tokens_details": {},
            "total_tokens": 11_000,
            "cost": 0.02415,
            "time_per_token": 1.5,
            "time_to_first_token": 250,
        }
        if usage is None
        else usage,
        "payload": {
            "request": '{"messages": [{"role": "user", "content": "The capital of France?"}]}',
            "response": '{"choices": [{"message": {"role": "assistant", "content": "Paris."}}]}',
        },
    }
    return {
        "request": {
            "id": "2f6946328ffc4946b8c9120704a4a155",
            "uri": "/v1/chat/completions",
            "headers": {"host": "localhost:8000", "x-assay-task-type": "rag"},
        },
        "response": {"status": 200, "headers": {}},
        "latencies": {"kong": 1, "proxy": 200, "request": 1_520, "receive": 1_300},
        "service": {"name": "llm", "tags": ["blue"]},
        "route": {"name": "chat"},
        "consumer": {"username": "shop", "custom_id": "org_42", "tags": None},
        "workspace_name": "default",
        "started_at": int((NOW - timedelta(minutes=30)).timestamp() * 1000),
        "ai": {"proxy": call},
        **changes,
    }
