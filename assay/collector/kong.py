"""Log entries of Kong's ``http-log`` plugin whose request went through its AI plugins.

Each AI plugin that called a model has an object of its own under ``ai`` (``ai.proxy`` since Kong 3.8) with
``meta`` and ``usage``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from assay.collector import gateway
from assay.collector.gateway import Entry, Sender
from assay.collector.messages import MAX_TEXT, plain
from assay.collector.usage import UnreadableError, tokens_of
from assay.contracts.records import Tokens

SOURCE: Final = "kong"

_PROXY: Final = "proxy"
# Kong up to 3.7 wrote the counts in the singular.
_SINGULAR: Final = {"prompt_token": "prompt_tokens", "completion_token": "completion_tokens"}


def read(entry: Entry, sender: Sender) -> list[dict[str, Any]]:
    """The calls that an entry tells of: none where no AI plugin called a model.

    Raises:
        UnreadableError: one cannot be counted.
    """
    return [_fields(entry, sender, plugin, call) for plugin, call in _calls(entry.mapping("ai"))]


def _calls(ai: Mapping[str, Any]) -> list[tuple[str, Entry]]:
    if "usage" in ai or "meta" in ai:
        return [(_PROXY, Entry(ai))]
    found = [(name, value) for name, value in ai.items() if isinstance(value, Mapping)]
    return [(name, Entry(value)) for name, value in found if value.get("usage") or value.get("meta")]


def _fields(entry: Entry, sender: Sender, plugin: str, call: Entry) -> dict[str, Any]:
    headers = entry.mapping("request/headers")
    labels = gateway.said(headers)
    claimed = labels.pop("tenant_id", "")
    trace_id, parent = _trace(entry)
    code = entry.text("response/status", "upstream_status")
    failed = code.isdecimal() and int(code) >= 400
    span_id = entry.text("request/id", "response/headers/x-kong-request-id")
    if span_id and plugin != _PROXY:
        # One request, several calls: the judge's or transformer's is not the proxy's.
        span_id = f"{span_id}/{plugin}"
    fields: dict[str, Any] = {
        **labels,
        "trace_id": trace_id or entry.text("request/id"),
        "span_id": span_id,
        "parent_span_id": parent,
        "timestamp": gateway.moment((entry.number("started_at") or 0) / 1000, "started_at"),
        "tenant_id": gateway.tenant_of(
            _tagged(entry), sender, *_consumer(entry), claimed, fallback=entry.text("service/name")
        ),
        "model": call.text("meta/request_model", "meta/response_model"),
        "response_model": call.text("meta/response_model"),
        "provider": gateway.provider(call.text("meta/provider_name")),
        "pricing_tier": gateway.pricing_tier(call.text("usage/service_tier")),
        "tokens": _tokens(call, failed),
        # Without prices in its configuration, Kong writes 0.
        "cost_usd": gateway.usd(call.number("usage/cost") or None),
        "status": gateway.status(failed, "", code),
        "error_type": code if failed else "",
        "attributes": gateway.attributes(_attributes(entry, plugin, call)),
        **_times(entry, call),
    }
    if not fields["model"]:
        raise UnreadableError("model", f"`ai.{plugin}.meta.request_model` is missing")
    if sender.wants_text(fields["tenant_id"]):
        fields["input"] = _text(call.at("payload/request") or entry.at("ai/payload/request"), roles=True)
        fields["output"] = _text(call.at("payload/response"), roles=False)
    return fields


def _tokens(call: Entry, failed: bool) -> Tokens:
    usage = {_SINGULAR.get(name, name): value for name, value in call.mapping("usage").items()}
    if failed and not any(name.endswith("_tokens") for name in usage):
        return Tokens(prompt=0, completion=0)
    if not any(name in usage for name in ("prompt_tokens", "input_tokens")):
        raise UnreadableError(
            "tokens",
            "a model call without token usage: set `config.logging.log_statistics` of the AI plugin to true",
        )
    return tokens_of(usage)


def _tagged(entry: Entry) -> str:
    places = ("consumer", "route", "service")
    return gateway.said(*(gateway.tags(entry.at(f"{place}/tags")) for place in places)).get("tenant_id", "")


def _consumer(entry: Entry) -> tuple[str, str]:
    """Whom Kong authenticated. The headers are those that it sets for the upstream, in place of any that the
    client sent."""
    return (
        entry.text("consumer/custom_id", "request/headers/x-consumer-custom-id"),
        entry.text("consumer/username", "request/headers/x-consumer-username"),
    )


def _trace(entry: Entry) -> tuple[str, str]:
    """Trace and parent of W3C's ``traceparent``, as the client or Kong's own tracing set it."""
    parts = entry.text("request/headers/traceparent").split("-")
    if len(parts) >= 4 and len(parts[1]) == 32 and len(parts[2]) == 16 and parts[1].strip("0"):
        return parts[1].lower(), parts[2].lower()
    return entry.text("trace_id/w3c", "request/headers/x-b3-traceid"), ""


def _times(entry: Entry, call: Entry) -> dict[str, float]:
    found: dict[str, float] = {}
    latency = call.number("meta/llm_latency")
    latency = entry.number("latencies/request") if latency is None else latency
    if latency is not None:
        found["latency_ms"] = latency
    first = call.number("usage/time_to_first_token")
    # Of an answer that comes in one piece, Kong writes its whole latency.
    if first and call.text("meta/request_mode") != "oneshot" and first <= found.get("latency_ms", 0):
        found["ttft_ms"] = first
    return found


def _attributes(entry: Entry, plugin: str, call: Entry) -> list[tuple[str, Any]]:
    return [
        ("kong.ai.plugin", plugin),
        ("kong.ai.request_mode", call.at("meta/request_mode")),
        ("kong.ai.cache_status", call.at("cache/cache_status")),
        ("kong.service", entry.at("service/name")),
        ("kong.route", entry.at("route/name")),
        ("kong.workspace", entry.at("workspace_name")),
        ("kong.consumer", entry.at("consumer/username")),
        ("http.response.status_code", entry.at("response/status")),
    ]


def _text(value: Any, *, roles: bool) -> str | None:
    """The messages in a payload; Kong logs it as JSON text."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return value[:MAX_TEXT] or None
    if isinstance(value, Mapping):
        value = next((value[name] for name in ("messages", "choices", "output") if value.get(name)), value)
    text = plain(value, roles=roles)
    return text[:MAX_TEXT] or None
