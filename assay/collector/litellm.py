"""LiteLLM's ``StandardLoggingPayload``, as its ``generic_api`` callback posts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from assay.collector import gateway
from assay.collector.gateway import Entry, Sender
from assay.collector.messages import MAX_TEXT, plain
from assay.collector.spans import response_id
from assay.collector.usage import UnreadableError, tokens_of
from assay.contracts.records import Tokens

SOURCE: Final = "litellm"

# Parts of `call_type` (`acompletion`, `aimage_generation`, …) of calls that are not billed by text tokens.
_MODALITIES: Final = {"image": "image", "speech": "audio", "transcription": "audio", "video": "video"}
# Of calls that run a model. The proxy logs others too: files, batches, vector stores, MCP tools.
_INFERENCE: Final = (
    "completion",
    "embedding",
    "responses",
    "messages",
    "generate_content",
    "rerank",
    "moderation",
    "realtime",
    *_MODALITIES,
)
# In place of text where `turn_off_message_logging` is set.
_REDACTED: Final = "redacted-by-litellm"
_ATTRIBUTES: Final = (
    ("litellm.call_id", "litellm_call_id"),
    ("litellm.call_type", "call_type"),
    ("litellm.model_group", "model_group"),
    ("litellm.model_id", "model_id"),
    ("litellm.cache_hit", "cache_hit"),
    ("litellm.team_alias", "metadata/user_api_key_team_alias"),
    ("litellm.key_alias", "metadata/user_api_key_alias"),
    ("litellm.organization_id", "metadata/user_api_key_org_id"),
    ("litellm.tags", "request_tags"),
    ("http.response.status_code", "error_information/error_code"),
)


def read(entry: Entry, sender: Sender) -> list[dict[str, Any]]:
    """The call that a payload tells of; none where it is no call of a model.

    Raises:
        UnreadableError: it is one, but not one that can be counted.
    """
    failed = entry.text("status") == "failure"
    tokens = _tokens(entry, failed)
    call_type = entry.text("call_type")
    if not any(word in call_type for word in _INFERENCE) and not (
        tokens and tokens.prompt + tokens.completion
    ):
        return []
    if tokens is None:
        raise UnreadableError(
            "tokens",
            "a model call without token usage: `prompt_tokens` or `metadata.usage_object` is missing",
        )
    labels = gateway.said(
        entry.mapping("metadata/requester_metadata"),
        entry.mapping("metadata/spend_logs_metadata"),
        entry.mapping("metadata/requester_custom_headers"),
        gateway.tags(entry.at("request_tags")),
    )
    named = labels.pop("tenant_id", "")
    started = entry.number("startTime")
    error_type = entry.text("error_information/error_class") if failed else ""
    provider = entry.text("custom_llm_provider")
    fields: dict[str, Any] = {
        "session_id": entry.text("session_id"),
        "user_id": entry.text(
            "end_user", "metadata/user_api_key_end_user_id", "metadata/user_api_key_user_id"
        ),
        "prompt_template_version": entry.text("metadata/prompt_management_metadata/prompt_id"),
        **labels,
        "trace_id": entry.text("trace_id"),
        "span_id": _span_id(entry, failed, started),
        "timestamp": gateway.moment(started, "startTime"),
        "tenant_id": gateway.tenant_of(
            named,
            sender,
            entry.text("metadata/user_api_key_team_id", "metadata/team_id"),
            entry.text("metadata/user_api_key_team_alias", "metadata/team_alias"),
            entry.text("metadata/user_api_key_org_id"),
        ),
        "model": entry.text("model", "model_group").removeprefix(f"{provider}/"),
        "response_model": entry.text("response/model"),
        # Where the provider gave none, `id` is LiteLLM's, and the same in all that LiteLLM logs of the call.
        "response_id": "" if failed else response_id(entry.text("response/id", "id")),
        "provider": gateway.provider(provider),
        "pricing_tier": gateway.pricing_tier(
            entry.text("metadata/usage_object/service_tier", "response/service_tier")
        ),
        "tokens": tokens,
        "cost_usd": _cost(entry, failed),
        "status": gateway.status(failed, error_type, entry.text("error_information/error_code")),
        "error_type": error_type[:256],
        "finish_reason": _finish_reason(entry)[:256],
        "modality": next((kind for word, kind in _MODALITIES.items() if word in call_type), ""),
        "attributes": gateway.attributes((name, entry.at(path)) for name, path in _ATTRIBUTES),
        **_times(entry, started),
    }
    if not fields["model"]:
        raise UnreadableError("model", "`model` is missing")
    if images := entry.number("metadata/usage_object/output_image_count"):
        fields["units"] = {"image": int(images)}
    if sender.wants_text(fields["tenant_id"]):
        fields["input"] = _text(entry.at("messages"), roles=True)
        fields["output"] = _text(_answer(entry.at("response")), roles=False)
    return [fields]


def _tokens(entry: Entry, failed: bool) -> Tokens | None:
    """None where the payload tells of no usage at all."""
    if entry.at("cache_hit") is True:
        # The answer came out of LiteLLM's own cache: the usage is that of the call that filled it.
        return Tokens(prompt=0, completion=0)
    for path in ("metadata/usage_object", "hidden_params/usage_object", "response/usage"):
        if block := entry.mapping(path):
            return tokens_of(block)
    counts = {name: entry.at(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    if any(counts.values()):
        return tokens_of(counts)
    return Tokens(prompt=0, completion=0) if failed else None


def _span_id(entry: Entry, failed: bool, started: float | None) -> str:
    """The payload's id. Attempts that fail have none of their own, only that of the call which they share."""
    span_id = entry.text("id", "litellm_call_id")
    return f"{span_id}-{int((started or 0) * 1e6)}" if failed and span_id else span_id


def _cost(entry: Entry, failed: bool) -> Any:
    amount = entry.number("response_cost")
    # Of a failed call, and of a model that LiteLLM has no price for, it writes 0.
    unknown = failed or entry.at("response_cost_failure_debug_info") or entry.at("zero_cost_diagnostic")
    return None if not amount and unknown else gateway.usd(amount)


def _times(entry: Entry, started: float | None) -> dict[str, float]:
    found: dict[str, float] = {}
    ended, first = entry.number("endTime"), entry.number("completionStartTime")
    # An end before the start, or days after it, is a clock that was set, not a duration.
    if started is not None and ended is not None and 0 <= ended - started <= 86_400:
        found["latency_ms"] = round((ended - started) * 1000, 3)
        # Where nothing was streamed, the first token is said to be the last.
        if first is not None and started <= first < ended:
            found["ttft_ms"] = round((first - started) * 1000, 3)
    return found


def _finish_reason(entry: Entry) -> str:
    choices = entry.at("response/choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return Entry(choices[0]).text("finish_reason")
    return entry.text("response/stop_reason", "response/status")


def _answer(response: Any) -> Any:
    if isinstance(response, Mapping):
        return next((response[name] for name in ("choices", "output") if response.get(name)), response)
    return response


def _text(value: Any, *, roles: bool) -> str | None:
    text = plain(value, roles=roles)
    return text[:MAX_TEXT] if text and _REDACTED not in text[:64] else None
