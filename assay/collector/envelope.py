"""What travels through the queue: one batch of records of one kind, as it was accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from assay.contracts.records import RECORDS, Record

_encoder = msgspec.msgpack.Encoder(decimal_format="string")
_DECODERS: dict[str, msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(list[record])  # type: ignore[valid-type]
    for kind, record in RECORDS.items()
}


class Reject(Struct, array_like=True, kw_only=True):
    """One record that could not be accepted, as it goes to ``ingest_rejects``."""

    index: int
    field: str
    reason: str
    payload: bytes


class Envelope(Struct, array_like=True, kw_only=True):
    """One batch. Accepted records and rejected ones travel together, so that one acknowledgement covers both.

    Attributes:
        kind: a name of ``assay.contracts.records.RECORDS``.
        source: what mapped the records: ``native``, ``otlp``, ``azure``, ``mooncake``, ….
        received_at_ms: Unix time in milliseconds at which the collector received them.
        records: the accepted records, MessagePack of ``list[RECORDS[kind]]``.
        load_id: of a load whose caller waits for the counts; empty for live traffic.
        rejects: what was not accepted.
        tenants: of the key with which the records came, where it is not good for all: what they say of a
            trace holds for traces of these tenants alone.
    """

    kind: str
    source: str
    received_at_ms: int
    records: bytes
    load_id: str = ""
    rejects: list[Reject] = []
    tenants: list[str] = []

    @classmethod
    def of(
        cls,
        kind: str,
        source: str,
        records: Sequence[Record],
        *,
        rejects: Sequence[Reject] = (),
        load_id: str = "",
        received_at: datetime | None = None,
        tenants: Iterable[str] = (),
    ) -> Envelope:
        """An envelope of records received at ``received_at`` (now unless given)."""
        received = received_at or datetime.now(UTC)
        return cls(
            kind=kind,
            source=source,
            received_at_ms=int(received.timestamp() * 1000),
            records=_encoder.encode(records),
            load_id=load_id,
            rejects=list(rejects),
            tenants=sorted(tenants),
        )

    def decode(self) -> list[Record]:
        """The accepted records."""
        records: list[Record] = _DECODERS[self.kind].decode(self.records)
        return records
