"""From an OTLP span to a record: which spans are model calls, and what their attributes mean.

The names are in :mod:`assay.collector.genai`; here is how values are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

from assay.collector import genai
from assay.collector.envelope import Reject
from assay.collector.messages import context_text, input_text, output_text
from assay.collector.native import EARLIEST, MAX_AGE, MAX_AHEAD, foreign, out_of_time, rejected
from assay.collector.otlp import Attributes, BadSpan, OtlpSpan, Value
from assay.collector.reasons import Reason, explain
from assay.collector.usage import UnreadableError
from assay.collector.values import Picked, pick, usage
from assay.contracts.fields import MAX_RESPONSE_ID
from assay.contracts.records import Record, Span
from assay.pricing import providers

DEFAULT_TENANT: Final = "default"
MAX_ATTRIBUTES: Final = 64
MAX_NAME: Final = 128
MAX_VALUE: Final = 1024

# Fields of model calls alone, unless what stands beside them says otherwise.
_CALL_FIELDS: Final = ("request_type", "tokens.prompt", "tokens.completion")
# A span without any of these is no model call.
MODEL_CALL_FIELDS: Final = ("operation", "openinference_kind", *_CALL_FIELDS)

# Attributes that are read by their prefix.
_APART: Final = (*genai.TEXT_PREFIXES, genai.UNITS)
_CLIENT: Final = 3
_ERROR: Final = 2
_DAY_NS: Final = 86_400 * 10**9
_DAY_MS: Final = 86_400_000


class Mapped(NamedTuple):
    """What a request held: model calls, what could not be read, and how many spans were something else."""

    records: list[Record]
    rejects: list[Reject]
    ignored: int


def map_spans(
    spans: Iterable[OtlpSpan | BadSpan],
    *,
    tenant: str = "",
    tenants: Set[str] | None = None,
    wants_text: Callable[[str], bool] = lambda _tenant: False,
    now: datetime | None = None,
    max_age: timedelta | None = MAX_AGE,
) -> Mapped:
    """Map the spans of a request.

    Args:
        spans: as decoded.
        tenant: of the request's ``X-Assay-Tenant``, for spans that do not name one.
        tenants: whose spans the sender may write; None: everybody's. Where it is one, a span that names no
            tenant is that one's.
        wants_text: whether a tenant's prompts and answers may be kept; where not, they are not even read.
        now: when the request was received.
        max_age: how old a call may be; None: however old, as history is.
    """
    received = now or datetime.now(UTC)
    first, last = EARLIEST if max_age is None else received - max_age, received + MAX_AHEAD
    records: list[Record] = []
    rejects: list[Reject] = []
    ignored = 0
    resource_of: Attributes | None = None
    resource = pick({})
    own = next(iter(tenants)) if tenants is not None and len(tenants) == 1 else ""
    for index, span in enumerate(spans):
        if isinstance(span, BadSpan):
            rejects.append(rejected(index, Reason(span.field, span.reason), span.payload))
            continue
        picked = pick(span.attributes)
        if not is_model_call(picked, span.kind):
            ignored += 1
            continue
        if span.resource is not resource_of:
            # Spans of one process come together and share it.
            resource_of, resource = span.resource, pick(span.resource)
        try:
            record = msgspec.convert(_fields(span, picked, resource, (tenant, own), wants_text), Span)
            if tenants is not None and record.tenant_id not in tenants:
                raise UnreadableError(*foreign(record.tenant_id))
            if not first <= record.timestamp <= last:
                raise UnreadableError(*out_of_time(record.timestamp, received))
        except UnreadableError as error:
            rejects.append(rejected(index, Reason(error.field, error.reason), _payload(span)))
        except msgspec.ValidationError as error:
            rejects.append(rejected(index, explain("span", error), _payload(span)))
        else:
            records.append(record)
    return Mapped(records, rejects, ignored)


def is_model_call(picked: Picked, kind: int) -> bool:
    """Whether a span of this OTLP kind called a model itself.

    Agents, tools and workflows repeat the usage of the calls inside them, and many spans around a call carry
    its model; neither is a call.
    """
    operation = picked.text("operation")
    if operation in genai.AROUND_INFERENCE or (operation == genai.INVOKE_AGENT and kind != _CLIENT):
        return False
    openinference = picked.text("openinference_kind").upper()
    if openinference and openinference not in genai.MODEL_KINDS:
        return False
    if picked.text("traceloop_kind") in genai.AROUND_KINDS:
        return False
    if operation in genai.INFERENCE or openinference:
        return True
    return any(field in picked.best for field in _CALL_FIELDS)


def _fields(
    span: OtlpSpan,
    picked: Picked,
    resource: Picked,
    tenant: tuple[str, str],
    wants_text: Callable[[str], bool],
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "trace_id": _id("trace_id", span.trace_id),
        "span_id": _id("span_id", span.span_id),
        "parent_span_id": span.parent_span_id if span.parent_span_id.strip("0") else "",
        "timestamp": _moment(span.start_ns),
        "tenant_id": tenant_of(picked, resource, *tenant),
    }
    for field in genai.TEXT_FIELDS:
        value = picked.text(field) or (resource.text(field) if field in genai.FROM_RESOURCE else "")
        if value:
            fields[field] = value
    if "model" not in fields:
        fields["model"] = fields.get("response_model") or _asked_for(span)
    if version := _template(picked) or resource.text("template_version"):
        fields["prompt_template_version"] = version
    _normalise(fields, picked)
    fields["response_id"] = response_id(fields.get("response_id", "") or _answered(span))
    fields["status"] = _status(span, picked, fields.get("error_type", ""))
    if units := _units(picked):
        fields["units"] = units
    # What is billed by the image or the second may have no tokens at all.
    fields["tokens"] = usage(picked, resource, failed=fields["status"] != "ok" or bool(units))
    # An end before the start, or days after it, is a clock that was set, not a duration.
    if 0 < span.end_ns - span.start_ns <= _DAY_NS:
        fields["latency_ms"] = (span.end_ns - span.start_ns) / 1e6
    ttft = _ttft(span, picked)
    if ttft is not None and ttft <= fields.get("latency_ms", _DAY_MS):
        fields["ttft_ms"] = ttft
    cost = picked.number("cost")
    if cost is not None:
        # The shortest decimal that is this float, not the float's binary expansion.
        fields["cost_usd"] = Decimal(repr(cost))
    if wants_text(fields["tenant_id"]):
        fields["input"] = input_text(span)
        fields["output"] = output_text(span)
        fields["context"] = context_text(span)
    fields["attributes"] = _others(picked, resource)
    return fields


def _units(picked: Picked) -> dict[str, Decimal]:
    """Counts of what is not billed by token, under the units' names."""
    found = {}
    for name, value in picked.others:
        if not name.startswith(genai.UNITS):
            continue
        try:
            # A float is taken as the shortest decimal that it is.
            count = Decimal("" if isinstance(value, bool) else scalar(value).strip())
        except InvalidOperation:
            raise UnreadableError(
                f"units.{name.removeprefix(genai.UNITS)}", f"`{name}` = {scalar(value)[:64]!r} is no count"
            ) from None
        found[name.removeprefix(genai.UNITS)] = count
    return found


class _Answer(msgspec.Struct):
    """What tells a provider's response from JSON that a model wrote."""

    id: str
    model: str
    usage: msgspec.Raw


_answer: Final = msgspec.json.Decoder(_Answer)


def _answered(span: OtlpSpan) -> str:
    """The id of the response that stands whole in a span, as JSON text: OpenInference has it there alone."""
    text = span.attributes.get(genai.RESPONSE)
    if isinstance(text, str) and text.startswith("{"):
        try:
            return _answer.decode(text).id.strip()
        except (msgspec.MsgspecError, RecursionError):
            return ""
    return ""


def _asked_for(span: OtlpSpan) -> str:
    """The model among the parameters of the call, as JSON text."""
    parameters = span.attributes.get(genai.PARAMETERS)
    if isinstance(parameters, str):
        try:
            decoded = msgspec.json.decode(parameters)
        except (msgspec.DecodeError, RecursionError):
            decoded = None
        if isinstance(decoded, dict) and isinstance(model := decoded.get("model"), str) and model:
            return model
    raise UnreadableError("model", "no model: set `gen_ai.request.model` (or `llm.model_name`)")


def tenant_of(picked: Picked, resource: Picked, header: str = "", own: str = "") -> str:
    """Whose call it is: as the span, the resource, the request or the gateway says; else ``own``, the one
    tenant of the request's key; else the service."""
    return (
        picked.text("tenant")
        or resource.text("tenant")
        or header
        or picked.text("gateway_tenant")
        or own
        or resource.text("service")
        or DEFAULT_TENANT
    )


def _id(field: str, value: str) -> str:
    if not value.strip("0"):
        raise UnreadableError(field, f"`{field}` is empty or all zeros")
    return value


def _moment(nanoseconds: int) -> datetime:
    # The largest that OTLP has, 2^64 - 1, is of the year 2554.
    if nanoseconds <= 0 or nanoseconds >> 64:
        raise UnreadableError("timestamp", f"`startTimeUnixNano` = {nanoseconds} is no time of a call")
    seconds, rest = divmod(nanoseconds, 10**9)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def _template(picked: Picked) -> str:
    parts = (picked.text("template_name"), picked.text("template_number"))
    return picked.text("template_version") or "-".join(part for part in parts if part)


def _normalise(fields: dict[str, Any], picked: Picked) -> None:
    if "provider" in fields:
        fields["provider"] = providers.stored_name(fields["provider"])
    if "pricing_tier" in fields:
        fields["pricing_tier"] = genai.PRICING_TIERS.get(fields["pricing_tier"].lower(), "standard")
    if "modality" in fields and picked.best["modality"][0] > 0:
        # "assay.modality" is taken at its word; the conventions' output type has formats of text as well.
        fields["modality"] = genai.MODALITIES.get(fields["modality"], "")
    if "finish_reason" in fields:
        fields["finish_reason"] = _first(fields["finish_reason"])[:256]
    if "error_type" in fields:
        # Some write the class itself, some its name.
        fields["error_type"] = fields["error_type"].removeprefix("<class '").removesuffix("'>")[:256]


def response_id(text: str) -> str:
    """The provider's id of its response. One that is too long is unknown: no reason to refuse a call, and
    the part in which it differs from others may be at its end."""
    return text if len(text) <= MAX_RESPONSE_ID else ""


def _first(text: str) -> str:
    """The first of a list that was written as JSON text (LiteLLM does)."""
    if text.startswith("["):
        try:
            items = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
        return str(items[0]) if isinstance(items, list) and items else ""
    return text


def _status(span: OtlpSpan, picked: Picked, error_type: str) -> str:
    if said := picked.text("status"):
        return said
    if error_type.lower() in genai.ABORTED:
        return "aborted"
    return "error" if span.status_code == _ERROR or error_type else "ok"


def _ttft(span: OtlpSpan, picked: Picked) -> float | None:
    value = picked.number("ttft")
    if value is not None and value >= 0:
        return value * genai.TTFT[picked.best["ttft"][0]][1]
    times = [event.time_ns for event in span.events if event.name in genai.FIRST_TOKEN_EVENTS]
    return (min(times) - span.start_ns) / 1e6 if times and min(times) >= span.start_ns else None


def _others(picked: Picked, resource: Picked) -> dict[str, str] | None:
    """Attributes without a field of their own, as text, bounded in number and size."""
    found: dict[str, str] = {}
    dropped = 0
    if operation := picked.text("operation"):
        found[genai.OPERATION] = operation[:MAX_VALUE]
    if service := resource.text("service"):
        found[genai.SERVICE_NAME] = service[:MAX_VALUE]
    for name, value in picked.others:
        if not name or name.startswith(_APART):
            continue
        if len(found) == MAX_ATTRIBUTES or len(name) > MAX_NAME:
            dropped += 1
            continue
        found[name] = scalar(value)[:MAX_VALUE]
    if dropped:
        found["assay.attributes_dropped"] = str(dropped)
    return found or None


def scalar(value: Value) -> str:
    """An attribute's value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)


def _payload(span: OtlpSpan) -> bytes:
    """The span as the attribute names and values that decided, for ``ingest_rejects``."""
    return msgspec.json.encode(
        {"trace_id": span.trace_id, "span_id": span.span_id, "name": span.name, **span.attributes}
    )
