"""Which records count: each identity once, across batches, sources, files and retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from assay.collector.writer import arrow
from assay.collector.writer.batch import Batch, Rows
from assay.collector.writer.store import Asked, Known
from assay.contracts.records import Evaluation, Feedback, Label, Outcome, Record, Span
from assay.pricing.columns import Bools, Ints

Hashes = NDArray[np.uint64]
Minutes = NDArray[np.uint32]


def digest(*parts: str) -> int:
    """64-bit hash of the parts; each carries its length, so that no two lists of parts read the same."""
    return xxhash.xxh3_64_intdigest("".join([f"{len(part)}:{part}" for part in parts]).encode())


def _span(r: Span) -> int:
    return digest(r.tenant_id, r.trace_id, r.span_id)


def _evaluation(r: Evaluation) -> int:
    return digest(r.trace_id, r.span_id, r.evaluator, r.evaluator_version, r.timestamp.isoformat())


def _feedback(r: Feedback) -> int:
    return digest(r.trace_id, r.user_id, r.timestamp.isoformat(), *_of_tenant(r))


def _outcome(r: Outcome) -> int:
    return digest(r.trace_id, r.user_id, r.event, r.timestamp.isoformat(), *_of_tenant(r))


def _label(r: Label) -> int:
    return digest(r.trace_id, r.rater, r.rubric, r.timestamp.isoformat(), *_of_tenant(r))


def _of_tenant(r: Feedback | Outcome | Label) -> tuple[str, ...]:
    """Nothing without a tenant, as before there was one: what is stored already stays known."""
    return (r.tenant_id,) if r.tenant_id else ()


# The other kinds go to tables that keep one row per key by themselves.
_IDENTITY: Final[dict[str, Callable[..., int]]] = {
    "span": _span,
    "evaluation": _evaluation,
    "feedback": _feedback,
    "outcome": _outcome,
    "label": _label,
}
KINDS: Final = tuple(_IDENTITY)


@dataclass(frozen=True)
class Identities:
    """Hashes and times of the records of one kind, row by row.

    Attributes:
        timestamp_us: the record's own time.
        minute: Unix seconds of its minute: the store looks identities up in the order of minutes.
        first: False for a repetition within the block.
    """

    kind: str
    hashes: Hashes
    timestamp_us: Ints
    first: Bools

    @property
    def minute(self) -> Minutes:
        return (self.timestamp_us // 60_000_000 * 60).astype(np.uint32)


def identify(kind: str, rows: Rows) -> Identities:
    """The identities of the rows of one of ``KINDS``."""
    key = _IDENTITY[kind]
    hashes = np.array([key(record) for record in rows.records], np.uint64)
    first = np.zeros(len(rows), np.bool_)
    first[np.unique(hashes, return_index=True)[1]] = True
    return Identities(kind, hashes, arrow.microseconds(_times(rows.records)), first)


def identify_all(batch: Batch) -> dict[str, Identities]:
    """Identities by kind, of the kinds that are there."""
    return {kind: identify(kind, batch.kinds[kind]) for kind in KINDS if len(batch.kinds[kind])}


def asked(identities: Sequence[Identities]) -> Asked:
    """The question which of them are stored."""
    return Asked(
        [found.kind for found in identities],
        np.concatenate([found.hashes for found in identities]),
        np.concatenate([found.minute for found in identities]),
    )


def fresh(identities: Sequence[Identities], known: Mapping[str, Known]) -> dict[str, Bools]:
    """Which rows are stored neither before nor earlier in the block.

    Args:
        identities: of the block.
        known: which of them the store has, by kind.
    """
    return {
        i.kind: i.first & ~np.isin(i.hashes, known[i.kind].hashes) if i.kind in known else i.first
        for i in identities
    }


class Mark(NamedTuple):
    """Rows of ``ingest_identity`` of one kind.

    Attributes:
        minute: Unix seconds.
        retention_us: from when each is to be kept.
    """

    kind: str
    minute: Minutes
    hashes: Hashes
    retention_us: Ints


def table(marks: Sequence[Mark]) -> pa.Table:
    """The rows of all kinds."""
    return pa.table(
        {
            "kind": arrow.labels([mark.kind for mark in marks for _ in range(len(mark.hashes))]),
            "minute": np.concatenate([mark.minute for mark in marks]),
            "hash": np.concatenate([mark.hashes for mark in marks]),
            "retention_start": arrow.days(np.concatenate([mark.retention_us for mark in marks])),
        }
    )


def _times(records: Sequence[Record]) -> list[datetime]:
    return [record.timestamp for record in records]  # type: ignore[attr-defined]
