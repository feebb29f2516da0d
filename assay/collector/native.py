"""Records in the native JSON format: a JSON array, NDJSON, or one object.

Parsing never raises: what cannot be accepted becomes a reject, and every other record of the request is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec

from assay.collector.envelope import Reject
from assay.collector.payload import masked
from assay.collector.reasons import Reason, explain
from assay.collector.usage import UnreadableError, with_tokens
from assay.contracts.records import RECORDS, Deployment, Evaluation, Feedback, Label, Outcome, Record, Span

# Live traffic is late by minutes; a week covers an outage of a collector's uplink. Older records are a
# backfill's: they would expire the moment they are stored, because retention counts from the record's own
# time here.
MAX_AGE: Final = timedelta(days=7)
# Clocks of hosts that keep time at all differ by seconds; the smallest mistake of a time zone is 15 minutes.
MAX_AHEAD: Final = timedelta(minutes=10)
# The store's minutes begin here; an earlier time is a broken clock or a zero.
EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)
# A body of "[1,1,1,…" is millions of rejects: past this many the rest of a request is refused as one.
MAX_REJECTS: Final = 10_000

_TIMED: Final = {"span", "evaluation", "outcome", "feedback"}

_DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ARRAY_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(list[record])  # type: ignore[valid-type]
    for kind, record in RECORDS.items()
}
_DECODERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(record) for kind, record in RECORDS.items()
}
_raw_array: Final = msgspec.json.Decoder(list[msgspec.Raw])
_raw: Final = msgspec.json.Decoder(msgspec.Raw)
# JSON knows no other.
SPACE: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"
# A provider's usage block may stand in place of a span's `tokens`.
_USAGE: Final = b'"usage"'
# Iterative on purpose: brackets nested a million deep are input like any other.
_STRUCTURE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


class Parsed(NamedTuple):
    """What a request held. The index of a reject counts the records of the request from 0."""

    records: list[Record]
    rejects: list[Reject]


def parse(
    kind: str,
    body: bytes,
    *,
    now: datetime | None = None,
    max_age: timedelta | None = MAX_AGE,
    tenants: Set[str] | None = None,
) -> Parsed:
    """Parse a body of records of ``kind``.

    Args:
        kind: a name of ``assay.contracts.records.RECORDS``.
        body: decompressed.
        now: when the body was received, against which the records' times are checked.
        max_age: how old a record may be; none for a backfill, which may be of any age.
        tenants: whose records the sender may write; None: everybody's.
    """
    body = body.removeprefix(_BOM)
    decoded = None if kind == "span" and _USAGE in body else _at_once(kind, body)
    if decoded is None:
        decoded = _one_by_one(kind, parts(body))
    if tenants is not None:
        decoded = _within(decoded, tenants)
    return in_time(kind, decoded, now or datetime.now(UTC), max_age)


class Decoded(NamedTuple):
    """Records, where each stood in its request or file, and what could not be decoded."""

    records: list[Record]
    positions: Sequence[int]
    rejects: list[Reject]


def _at_once(kind: str, body: bytes) -> Decoded | None:
    """None where one of the records, or the body, is not what it should be."""
    try:
        if _start(body) == b"[":
            records: list[Record] = _ARRAY_DECODERS[kind].decode(body)
        else:
            records = _DECODERS[kind].decode_lines(body)
    except _DECODE_ERRORS:
        return None
    return Decoded(records, range(len(records)), [])


def _one_by_one(kind: str, parts: Iterable[bytes | msgspec.Raw]) -> Decoded:
    records: list[Record] = []
    positions: list[int] = []
    rejects: list[Reject] = []
    decoder = _DECODERS[kind]
    for index, part in enumerate(parts):
        try:
            records.append(decoder.decode(with_tokens(part) if kind == "span" else part))
        except (*_DECODE_ERRORS, UnreadableError) as error:
            if len(rejects) == MAX_REJECTS:
                reason = f"{MAX_REJECTS} records of this request were refused before; the rest was not read"
                rejects.append(rejected(index, Reason("", reason), bytes(part)))
                break
            rejects.append(rejected(index, _why(kind, error, part), bytes(part)))
        else:
            positions.append(index)
    return Decoded(records, positions, rejects)


def _why(kind: str, error: Exception, part: bytes | msgspec.Raw) -> Reason:
    if isinstance(error, UnreadableError):
        return Reason(error.field, error.reason)
    return explain(kind, error, part)


def rejected(index: int, reason: Reason, payload: bytes) -> Reject:
    """The reject of one record; its payload is masked."""
    return Reject(index=index, field=reason.field, reason=reason.reason, payload=masked(payload))


def parts(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    """The records of a body that may hold anything: a JSON array, NDJSON, or one object."""
    body = body.removeprefix(_BOM)
    return _array_parts(body) if _start(body) == b"[" else _line_parts(body)


def _start(body: bytes) -> bytes:
    return body[:64].lstrip(SPACE)[:1] or body.lstrip(SPACE)[:1]


def _array_parts(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    try:
        return _raw_array.decode(body)
    except _DECODE_ERRORS:
        return list(_split_array(body))


def _split_array(body: bytes) -> Iterable[bytes]:
    """The elements of an array that is no valid JSON as a whole, as far as brackets and quotes tell."""
    depth = 0
    begin = body.index(b"[") + 1
    for token in _STRUCTURE.finditer(body, begin):
        mark = token.group()
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
            if depth < 0:
                if body[begin : token.start()].strip(SPACE):
                    yield body[begin : token.start()].strip(SPACE)
                begin = token.end()
                break
        elif mark == b"," and depth == 0:
            yield body[begin : token.start()].strip(SPACE)
            begin = token.end()
    if rest := body[begin:].strip(SPACE):
        yield rest


def _line_parts(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    try:
        # One object, perhaps over several lines.
        return [_raw.decode(body)]
    except _DECODE_ERRORS:
        return [line for line in body.split(b"\n") if line.strip(SPACE)]


def _within(decoded: Decoded, tenants: Set[str]) -> Decoded:
    """Refuse the records of tenants that the sender does not write for.

    What is said of a trace and names no tenant is held to the key by the writer, which knows whose trace it
    is.
    """
    refused = _not_of(tenants, decoded.records)
    if not refused:
        return decoded
    records, positions = decoded.records, decoded.positions
    rejects = decoded.rejects + [
        rejected(positions[i], reason, msgspec.json.encode(records[i])) for i, reason in refused.items()
    ]
    rejects.sort(key=lambda reject: reject.index)
    kept = [i for i in range(len(records)) if i not in refused]
    return Decoded([records[i] for i in kept], [positions[i] for i in kept], rejects)


def _not_of(tenants: Set[str], records: Sequence[Any]) -> dict[int, Reason]:
    """Row and reason of the records, all of one kind, that are refused."""
    match records[0] if records else None:
        case Span():
            pass
        case Deployment() | Evaluation() | Outcome() | Feedback() | Label():
            if len(tenants) == 1:
                (own,) = tenants
                for record in records:
                    record.tenant_id = record.tenant_id or own
        case _:
            return {}
    return {
        i: foreign(record.tenant_id)
        for i, record in enumerate(records)
        if record.tenant_id not in tenants and not _told_by_trace(record)
    }


def _told_by_trace(record: Record) -> bool:
    return (
        isinstance(record, Evaluation | Outcome | Feedback | Label)
        and not record.tenant_id
        and bool(record.trace_id)
    )


def foreign(tenant_id: str) -> Reason:
    """Why a record of this tenant is refused by a key of others."""
    said = (
        f"`tenant_id` = {tenant_id[:128]!r} is none of the tenants" if tenant_id else "`tenant_id` is missing"
    )
    return Reason("tenant_id", f"{said}: the API key of this request writes for some tenants alone")


def in_time(kind: str, decoded: Decoded, now: datetime, max_age: timedelta | None) -> Parsed:
    """Refuse what happened too long ago, or will only happen."""
    records, rejects = decoded.records, decoded.rejects
    if kind not in _TIMED:
        return Parsed(records, rejects)
    first, last = EARLIEST if max_age is None else now - max_age, now + MAX_AHEAD
    late = [i for i, record in enumerate(records) if not first <= record.timestamp <= last]  # type: ignore[attr-defined]
    if not late:
        return Parsed(records, rejects)
    for i in late:
        reason = out_of_time(records[i].timestamp, now)  # type: ignore[attr-defined]
        rejects.append(rejected(decoded.positions[i], reason, msgspec.json.encode(records[i])))
    rejects.sort(key=lambda reject: reject.index)
    dropped = set(late)
    return Parsed([record for i, record in enumerate(records) if i not in dropped], rejects)


def out_of_time(timestamp: datetime, now: datetime) -> Reason:
    """Why a record of this time cannot be live traffic."""
    if timestamp > now:
        return Reason(
            "timestamp", f"`timestamp` = {timestamp.isoformat()} is in the future; check the sender's clock"
        )
    if timestamp < EARLIEST:
        return Reason("timestamp", f"`timestamp` = {timestamp.isoformat()} lies before {EARLIEST:%Y-%m-%d}")
    return Reason(
        "timestamp",
        f"`timestamp` = {timestamp.isoformat()} is more than {MAX_AGE.days} days ago; "
        "load history with `assay load`",
    )
