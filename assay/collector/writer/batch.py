"""What queue entries hold: their records by kind, and what could not be accepted of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from assay.collector import queue
from assay.collector.envelope import Envelope
from assay.collector.writer.acceptance import refusal
from assay.contracts.records import RECORDS, Evaluation, Record, Span

# Fields beside the envelope of an entry that was parked and came back.
PARKED_SINCE: Final = b"since"
PARKED_TRIES: Final = b"tries"
PARKED_LOADED: Final = b"loaded"

RawEntry = tuple[bytes, dict[bytes, bytes]]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Entry:
    """One queue entry, and what became of its records.

    Attributes:
        id: in the stream.
        loaded: whether it came from a load, not from live traffic.
        tenants: those of whose traces its records may speak; empty: of all.
        parked_since_ms: when its record was first parked; 0 for one that was not.
        tries: how often it was parked.
    """

    id: str
    kind: str = ""
    source: str = ""
    received_at_ms: int = 0
    load_id: str = ""
    loaded: bool = False
    tenants: tuple[str, ...] = ()
    parked_since_ms: int = 0
    tries: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0

    @property
    def received_at(self) -> datetime:
        """When the collector received it."""
        return _EPOCH + timedelta(milliseconds=self.received_at_ms)

    @property
    def queued_at_ms(self) -> int:
        """When it was appended to the stream: its id says so."""
        return int(self.id.split("-")[0])


@dataclass(frozen=True)
class Rejection:
    """A row of ``ingest_rejects``."""

    entry: Entry
    position: int
    field: str
    reason: str
    payload: bytes


@dataclass
class Rows:
    """The records of one kind, each with its entry."""

    records: list[Record] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def append(self, record: Record, entry: Entry) -> None:
        self.records.append(record)
        self.entries.append(entry)

    def __len__(self) -> int:
        return len(self.records)


@dataclass
class Batch:
    """The decoded entries, in the order of the queue."""

    entries: list[Entry] = field(default_factory=list)
    kinds: dict[str, Rows] = field(default_factory=lambda: {kind: Rows() for kind in RECORDS})
    rejections: list[Rejection] = field(default_factory=list)
    bytes: int = 0

    def add(self, raw: RawEntry) -> None:
        """Decode one more entry."""
        entry_id, fields = raw
        entry = Entry(entry_id.decode())
        self.entries.append(entry)
        self.bytes += len(fields.get(queue.FIELD, b""))
        try:
            envelope = queue.decode(fields)
            records = envelope.decode()
        except (msgspec.MsgspecError, KeyError, UnicodeDecodeError) as error:
            _poison(self, entry, fields, error)
            return
        _describe(entry, envelope, fields)
        _sort_out(self, entry, envelope, records)

    def spans(self) -> list[Span]:
        """The records of kind ``span``."""
        return [record for record in self.kinds["span"].records if isinstance(record, Span)]

    @property
    def rows(self) -> int:
        """Records and rejections."""
        return sum(len(rows) for rows in self.kinds.values()) + len(self.rejections)


def decode(raw: Iterable[RawEntry]) -> Batch:
    """The batch of these entries. The same entries give the same batch: a crashed block is rebuilt from
    them."""
    batch = Batch()
    for entry in raw:
        batch.add(entry)
    return batch


def _describe(entry: Entry, envelope: Envelope, fields: dict[bytes, bytes]) -> None:
    entry.kind = envelope.kind
    entry.source = envelope.source
    entry.received_at_ms = envelope.received_at_ms
    entry.load_id = envelope.load_id
    entry.tenants = tuple(envelope.tenants)
    entry.loaded = bool(envelope.load_id) or fields.get(PARKED_LOADED) == b"1"
    entry.parked_since_ms = int(fields.get(PARKED_SINCE, b"0"))
    entry.tries = int(fields.get(PARKED_TRIES, b"0"))


def _sort_out(batch: Batch, entry: Entry, envelope: Envelope, records: list[Record]) -> None:
    for reject in envelope.rejects:
        batch.rejections.append(Rejection(entry, reject.index, reject.field, reject.reason, reject.payload))
    entry.rejected += len(envelope.rejects)
    rows = batch.kinds[envelope.kind]
    for position, record in enumerate(records):
        found = refusal(record, entry.received_at, loaded=entry.loaded)
        if found is not None:
            batch.rejections.append(Rejection(entry, position, *found, msgspec.json.encode(record)))
            entry.rejected += 1
            continue
        rows.append(record, entry)
        if isinstance(record, Span) and record.quality is not None:
            batch.kinds["evaluation"].append(_inline(record), entry)


def _inline(span: Span) -> Evaluation:
    """The score that a gateway sent along with its span, as an evaluation of that span."""
    quality = span.quality
    assert quality is not None
    return Evaluation(
        trace_id=span.trace_id,
        tenant_id=span.tenant_id,
        span_id=span.span_id,
        evaluator=quality.evaluator,
        evaluator_version=quality.evaluator_version,
        score=quality.score,
        confidence=quality.confidence,
        sampling_rate=quality.sampling_rate,
        timestamp=span.timestamp,
    )


def _poison(batch: Batch, entry: Entry, fields: dict[bytes, bytes], error: Exception) -> None:
    """What cannot be read is kept, byte for byte, and never stops the queue."""
    payload = fields.get(queue.FIELD) or msgspec.msgpack.encode(fields)
    entry.received_at_ms = entry.queued_at_ms
    entry.kind = "envelope"
    entry.rejected = 1
    batch.rejections.append(Rejection(entry, 0, "", f"not a readable envelope: {error!r}", payload))
