"""Call logs of LLM gateways: from a body of log entries to records.

What an entry means is its gateway's (:mod:`assay.collector.litellm`, :mod:`assay.collector.kong`); here is
what they share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
import xxhash

from assay.collector import genai
from assay.collector.envelope import Reject
from assay.collector.native import (
    MAX_AGE,
    MAX_AHEAD,
    MAX_REJECTS,
    foreign,
    out_of_time,
    parts,
    rejected,
)
from assay.collector.reasons import Reason, explain
from assay.collector.spans import DEFAULT_TENANT, MAX_ATTRIBUTES, MAX_NAME, MAX_VALUE, Mapped, scalar
from assay.collector.usage import UnreadableError
from assay.contracts.records import Record, Span
from assay.pricing import providers

# What senders may say about a call in the gateway's own metadata: as `assay.task_type`, or as a header
# `x-assay-task-type`.
_SAID: Final = (
    "tenant_id",
    "prompt_template_version",
    "task_type",
    "session_id",
    "user_id",
    "experiment_id",
    "experiment_variant",
    "environment",
)
_HEADER_OF: Final = {"tenant_id": "x-assay-tenant"}
_NAMES: Final = {
    field: (f"assay.{field}", _HEADER_OF.get(field, f"x-assay-{field.replace('_', '-')}")) for field in _SAID
}


class Sender(NamedTuple):
    """Who sent the log.

    Attributes:
        tenant: of the request's ``X-Assay-Tenant``.
        own: the one tenant that the request's key writes for; empty where it is not one.
        wants_text: whether a tenant's prompts and answers may be kept; where not, they are not even read.
    """

    tenant: str
    own: str
    wants_text: Callable[[str], bool]


class Entry:
    """A log entry: nested values by their path, of the type that is asked for or not at all."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def at(self, path: str) -> Any:
        """The value at ``outer/inner``; None where there is none."""
        value: Any = self._values
        for name in path.split("/"):
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    def text(self, *paths: str) -> str:
        """The first text, or number as text, that is not empty; of a list, its first."""
        for path in paths:
            if found := _text(self.at(path)):
                return found
        return ""

    def number(self, *paths: str) -> float | None:
        """The first number, not negative: gateways write -1 where they could not measure."""
        for path in paths:
            value = self.at(path)
            if isinstance(value, str):
                try:
                    value = float(value)
                except ValueError:
                    continue
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18:
                return float(value)
        return None

    def mapping(self, path: str) -> Mapping[str, Any]:
        """The object at the path; an empty one where there is none."""
        value = self.at(path)
        return value if isinstance(value, dict) else {}


# The fields of the calls that an entry tells of; none where it is about something else. `span_id` may be
# missing.
Read = Callable[[Entry, Sender], list[dict[str, Any]]]


def map_entries(
    body: bytes,
    read: Read,
    *,
    tenant: str = "",
    tenants: Set[str] | None = None,
    wants_text: Callable[[str], bool] = lambda _tenant: False,
    now: datetime | None = None,
) -> Mapped:
    """Map a body of log entries: a JSON array, NDJSON, or one object.

    Never raises: what cannot be accepted becomes a reject, and every other entry is kept.

    Args:
        body: decompressed.
        read: what an entry means.
        tenant: of the request's ``X-Assay-Tenant``.
        tenants: whose calls the sender may write; None: everybody's.
        wants_text: whether a tenant's prompts and answers may be kept.
        now: when the request was received.
    """
    received = now or datetime.now(UTC)
    first, last = received - MAX_AGE, received + MAX_AHEAD
    own = next(iter(tenants)) if tenants is not None and len(tenants) == 1 else ""
    sender = Sender(tenant, own, wants_text)
    records: list[Record] = []
    rejects: list[Reject] = []
    ignored = 0
    seen: Counter[str] = Counter()
    for index, part in enumerate(parts(body)):
        if len(rejects) >= MAX_REJECTS:
            reason = f"{MAX_REJECTS} entries of this request were refused before; the rest was not read"
            rejects.append(rejected(index, Reason("", reason), bytes(part)))
            break
        try:
            calls = _calls(part, read, sender)
        except UnreadableError as error:
            rejects.append(rejected(index, Reason(error.field, error.reason), bytes(part)))
            continue
        ignored += not calls
        for fields in calls:
            _identify(fields, part, seen)
            try:
                record = msgspec.convert(fields, Span)
                if tenants is not None and record.tenant_id not in tenants:
                    raise UnreadableError(*foreign(record.tenant_id))
                if not first <= record.timestamp <= last:
                    raise UnreadableError(*out_of_time(record.timestamp, received))
            except UnreadableError as error:
                rejects.append(rejected(index, Reason(error.field, error.reason), bytes(part)))
            except msgspec.ValidationError as error:
                rejects.append(rejected(index, explain("span", error, fields), bytes(part)))
            else:
                records.append(record)
    return Mapped(records, rejects, ignored)


def said(*places: Mapping[str, Any]) -> dict[str, str]:
    """What the sender of a call says about it, by the field's name. The first place that has it counts."""
    found: dict[str, str] = {}
    for place in places:
        if not place:
            continue
        for field, names in _NAMES.items():
            if field not in found and (text := next(filter(None, (_text(place.get(n)) for n in names)), "")):
                found[field] = text
    return found


def tags(values: Any) -> dict[str, str]:
    """Tags of the form ``name:value``; a tag ``tenant:org_42`` counts as ``assay.tenant_id``."""
    found: dict[str, str] = {}
    for value in values if isinstance(values, list) else []:
        name, colon, text = value.partition(":") if isinstance(value, str) else ("", "", "")
        if colon and text.strip():
            name = name.strip()
            found.setdefault("assay.tenant_id" if name in ("tenant", "tenant_id") else name, text.strip())
    return found


def tenant_of(named: str, sender: Sender, *gateway: str, fallback: str = "") -> str:
    """Whose call it is: as the call itself, the request or the gateway says; else the key's one tenant."""
    candidates = (named, sender.tenant, *gateway, sender.own, fallback)
    return next((name for name in candidates if name), DEFAULT_TENANT)


def moment(seconds: float | None, name: str) -> datetime:
    """Unix time in seconds as a time.

    Raises:
        UnreadableError: there is none, or none of a call.
    """
    try:
        if seconds:
            return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise UnreadableError("timestamp", f"`{name}` is no Unix time of a call")


def usd(amount: float | None) -> Decimal | None:
    """An amount as the shortest decimal that is this float, not as the float's binary expansion."""
    return None if amount is None else Decimal(repr(amount))


def provider(name: str) -> str:
    """A provider as the conventions call it."""
    return providers.stored_name(name)


def pricing_tier(name: str) -> str:
    """A provider's service tier as one of the contract's."""
    return genai.PRICING_TIERS.get(name.lower(), "standard")


def status(failed: bool, error_type: str, code: str) -> str:
    """``ok``, ``error``, or ``aborted`` where the client went away (HTTP 499)."""
    if error_type.lower() in genai.ABORTED or code == "499":
        return "aborted"
    return "error" if failed else "ok"


def attributes(values: Iterable[tuple[str, Any]]) -> dict[str, str] | None:
    """What has no field of its own, as text, bounded in number and size."""
    found = {
        name: scalar(value)[:MAX_VALUE]
        for name, value in values
        if value not in (None, "", [], {}) and 0 < len(name) <= MAX_NAME
    }
    return dict(list(found.items())[:MAX_ATTRIBUTES]) or None


def _text(value: Any) -> str:
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _calls(part: bytes | msgspec.Raw, read: Read, sender: Sender) -> list[dict[str, Any]]:
    try:
        values = msgspec.json.decode(part)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(*explain("span", error)) from None
    if not isinstance(values, dict):
        raise UnreadableError("", f"a log entry has to be a JSON object, got {type(values).__name__}")
    return read(Entry(values), sender)


def _identify(fields: dict[str, Any], part: bytes | msgspec.Raw, seen: Counter[str]) -> None:
    """Give a call without an id one from its entry's content, the same when the batch is sent again."""
    if not fields.get("span_id"):
        digest = xxhash.xxh3_128_hexdigest(bytes(part))
        seen[digest] += 1
        fields["span_id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    fields["trace_id"] = fields.get("trace_id") or fields["span_id"]
