"""A block: what is decided about it under the lock, and the tables that follow from the decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from assay.collector.writer import identity, lineage, parking, reference, scores, spans
from assay.collector.writer.batch import Batch, Entry, Rejection
from assay.collector.writer.identity import Identities
from assay.collector.writer.lineage import Lineage
from assay.collector.writer.parking import Parked, Parking
from assay.collector.writer.store import Store, Stored
from assay.contracts.records import Evaluation, Feedback
from assay.pricing.columns import Bools, Ints
from assay.pricing.table import PriceTable


class Note(msgspec.Struct, array_like=True):
    """What a crashed block is rebuilt from.

    Attributes:
        entries: ids in the stream.
        fresh: per kind with an identity, which rows are new, as packed bits.
        corrected: stored spans that the block takes out of the count.
        prices: version of the price table that it is priced with.
    """

    entries: list[str]
    fresh: dict[str, bytes]
    corrected: list[Stored]
    prices: str = ""


@dataclass
class Block:
    """A decoded batch and the identities of its rows: all that can be had without the lock."""

    batch: Batch
    identities: dict[str, Identities]

    @classmethod
    def of(cls, batch: Batch) -> Block:
        return cls(batch, identity.identify_all(batch))

    @property
    def entry_ids(self) -> list[str]:
        return [entry.id for entry in self.batch.entries]


@dataclass(frozen=True)
class Decision:
    """Which rows of a block count, and at which prices."""

    fresh: dict[str, Bools]
    lineage: Lineage
    corrected: list[Stored]
    prices: PriceTable

    def note(self, block: Block) -> Note:
        """The decision as it survives a crash."""
        packed = {kind: np.packbits(rows).tobytes() for kind, rows in self.fresh.items()}
        return Note(block.entry_ids, packed, self.corrected, self.prices.version)


@dataclass
class Build:
    """A block ready to be stored.

    Attributes:
        tables: name and rows, in the order of insertion; identities last.
        parked: records that have to wait.
    """

    tables: list[tuple[str, pa.Table]] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows of the tables, identities left out."""
        return sum(rows.num_rows for name, rows in self.tables if name != "ingest_identity")


def decide(block: Block, store: Store, parked: Parking, prices: PriceTable) -> Decision:
    """Ask the store which rows are new. Only valid while the lock is held."""
    fresh = identity.fresh(store, list(block.identities.values()))
    for kind in ("evaluation", "feedback", "outcome", "label"):
        if kind in fresh:
            hashes = block.identities[kind].hashes.tolist()
            waiting = parked.present([parking.member(kind, value) for value in hashes])
            fresh[kind] &= ~np.array(waiting, np.bool_)
    found = _lineage(block, fresh, store)
    return Decision(fresh, found, lineage.billed_only(store, found.repeating), prices)


def recall(block: Block, note: Note, store: Store, prices: PriceTable) -> Decision:
    """The decision that was noted before a crash."""
    fresh = {kind: _unpacked(packed, len(block.batch.kinds[kind])) for kind, packed in note.fresh.items()}
    return Decision(fresh, _lineage(block, fresh, store), note.corrected, prices)


def build(block: Block, decision: Decision, store: Store) -> Build:
    """The tables of a block, and what becomes of each of its entries (counted in the entries themselves)."""
    return _Builder(block, decision, store).build()


def _unpacked(packed: bytes, count: int) -> Bools:
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=count).astype(np.bool_)


def _lineage(block: Block, fresh: dict[str, Bools], store: Store) -> Lineage:
    if "span" not in fresh:
        return Lineage(np.zeros(0, np.bool_), [])
    chosen = _chosen(block.batch.kinds["span"].records, fresh["span"])
    traces = np.array([lineage.trace_hash(span.trace_id) for span in chosen], np.uint64)
    return lineage.lineage(chosen, traces, store)


def _chosen(items: Sequence[Any], rows: Bools) -> list[Any]:
    return [items[row] for row in np.flatnonzero(rows).tolist()]


class _Builder:
    def __init__(self, block: Block, decision: Decision, store: Store) -> None:
        self._block = block
        self._batch = block.batch
        self._decision = decision
        self._store = store
        self._now = datetime.now(UTC)
        self._rejections: list[Rejection] = list(block.batch.rejections)
        self._identities: list[tuple[Identities, Bools, Ints]] = []
        self._result = Build()

    def build(self) -> Build:
        self._count()
        self._spans()
        self._about_traces()
        for kind, (table, columns) in reference.REPLACING.items():
            if records := self._batch.kinds[kind].records:
                self._add(table, columns(records))
        if self._rejections:
            self._add("ingest_rejects", reference.reject_table(self._rejections))
        if self._identities:
            self._add("ingest_identity", identity.table(self._identities))
        return self._result

    def _add(self, table: str, rows: pa.Table | None) -> None:
        if rows is not None and rows.num_rows:
            self._result.tables.append((table, rows))

    def _count(self) -> None:
        for kind, rows in self._batch.kinds.items():
            fresh = self._decision.fresh.get(kind)
            for row, entry in enumerate(rows.entries):
                # Scores that came inside spans are not counted beside them.
                if entry.kind != kind:
                    continue
                if fresh is None or fresh[row]:
                    entry.accepted += 1
                else:
                    entry.duplicates += 1

    def _rows(self, kind: str) -> tuple[list[Any], list[Entry], Ints, Ints]:
        """New records of a kind, their entries, times, and times from which they are retained."""
        fresh = self._decision.fresh.get(kind)
        if fresh is None:
            return [], [], np.zeros(0, np.int64), np.zeros(0, np.int64)
        rows = self._batch.kinds[kind]
        entries = _chosen(rows.entries, fresh)
        times = self._block.identities[kind].timestamp_us[fresh]
        return _chosen(rows.records, fresh), entries, times, _retention(entries, times)

    def _stored(self, kind: str, stored: Bools | None = None) -> None:
        """Note the identities of the new rows of a kind, or of those of them that are stored now."""
        fresh = self._decision.fresh.get(kind)
        if fresh is None:
            return
        found = self._block.identities[kind]
        chosen = fresh.copy()
        if stored is not None:
            chosen[fresh] = stored
        retention = _retention(self._batch.kinds[kind].entries, found.timestamp_us)
        self._identities.append((found, chosen, retention))

    def _spans(self) -> None:
        records, entries, times, retention = self._rows("span")
        if records:
            billed = self._decision.lineage.billed
            table = spans.trace_table(
                records, entries, times, retention, billed, self._now, self._decision.prices
            )
            corrections = lineage.corrections(self._store, self._decision.corrected)
            if corrections is not None:
                table = pa.concat_tables([corrections, table.cast(corrections.schema)])
            self._add("llm_traces", table)
            self._add("llm_payloads", spans.payload_table(records, times, retention))
        self._stored("span")

    def _about_traces(self) -> None:
        evaluations = self._rows("evaluation")
        feedback = self._rows("feedback")
        outcomes = self._rows("outcome")
        labels = self._rows("label")
        # An outcome or a label that may speak of every trace needs nothing of its span.
        traces = {
            record.trace_id
            for records, entries, *_ in (evaluations, feedback, outcomes, labels)
            for record, entry in zip(records, entries, strict=True)
            if entry.tenants or isinstance(record, Evaluation | Feedback)
        }
        found = scores.subjects(traces, self._batch.spans(), self._store)
        self._evaluations(found, *evaluations)
        self._feedback(found, *feedback)
        self._outcomes(found, *outcomes)
        self._labels(found, *labels)

    def _evaluations(
        self, found: scores.Subjects, records: list[Any], entries: list[Entry], _: Ints, retention: Ints
    ) -> None:
        subjects = [found.of(r.trace_id, r.span_id, e.tenants) for r, e in zip(records, entries, strict=True)]
        stored = np.array([s is not None for s in subjects], np.bool_)
        self._wait("evaluation", records, entries, ~stored)
        self._stored("evaluation", stored)
        if stored.any():
            self._add(
                "llm_evaluations",
                scores.evaluation_table(
                    _chosen(records, stored),
                    _chosen(subjects, stored),
                    _chosen(entries, stored),
                    retention[stored],
                    self._now,
                ),
            )

    def _feedback(
        self, found: scores.Subjects, records: list[Any], entries: list[Entry], _: Ints, retention: Ints
    ) -> None:
        subjects = [found.of(r.trace_id, tenants=e.tenants) for r, e in zip(records, entries, strict=True)]
        # What a user said is kept even if its span never comes; not what a key of some tenants said about a
        # trace that may be another's.
        stored = np.array(
            [
                s is not None or (parking.expired(e) and not e.tenants)
                for s, e in zip(subjects, entries, strict=True)
            ],
            np.bool_,
        )
        self._wait("feedback", records, entries, ~stored)
        self._stored("feedback", stored)
        if stored.any():
            self._add(
                "end_user_feedback",
                scores.feedback_table(
                    _chosen(records, stored),
                    _chosen(subjects, stored),
                    _chosen(entries, stored),
                    retention[stored],
                ),
            )

    def _park(self, kind: str, row: int, record: Any, entry: Entry) -> None:
        hashes = self._block.identities[kind].hashes[self._decision.fresh[kind]]
        self._result.parked.append(parking.park(kind, record, int(hashes[row]), entry))

    def _wait(self, kind: str, records: list[Any], entries: list[Entry], missing: Bools) -> None:
        """Park the records whose span is not there; refuse those that waited long enough."""
        for row in np.flatnonzero(missing).tolist():
            record, entry = records[row], entries[row]
            if not parking.expired(entry):
                self._park(kind, row, record, entry)
                continue
            reason = f"no span with trace_id {record.trace_id}"
            if span_id := getattr(record, "span_id", ""):
                reason += f" and span_id {span_id}"
            if entry.tenants:
                reason += " of a tenant of the API key that it came with"
            self._rejections.append(
                Rejection(entry, 0, "trace_id", f"{reason} within 24 hours", msgspec.json.encode(record))
            )

    def _outcomes(
        self, found: scores.Subjects, records: list[Any], entries: list[Entry], _: Ints, retention: Ints
    ) -> None:
        stored = _allowed(found, records, entries)
        self._wait("outcome", records, entries, ~stored)
        self._stored("outcome", stored)
        if stored.any():
            chosen = _chosen(records, stored), _chosen(entries, stored)
            self._add("business_outcomes", reference.outcome_table(*chosen, retention[stored]))

    def _labels(
        self, found: scores.Subjects, records: list[Any], entries: list[Entry], _: Ints, __: Ints
    ) -> None:
        stored = _allowed(found, records, entries)
        self._wait("label", records, entries, ~stored)
        self._stored("label", stored)
        if stored.any():
            self._add(
                "human_labels", reference.label_table(_chosen(records, stored), _chosen(entries, stored))
            )


def _allowed(found: scores.Subjects, records: list[Any], entries: list[Entry]) -> Bools:
    """Which records may be stored as they are: those that may speak of every trace, and those of whose
    trace it is known that it is a tenant's of their key."""
    return np.array(
        [
            not entry.tenants or found.of(record.trace_id, tenants=entry.tenants) is not None
            for record, entry in zip(records, entries, strict=True)
        ],
        np.bool_,
    )


def _retention(entries: Sequence[Entry], timestamp_us: Ints) -> Ints:
    """Old data is not to be dropped as soon as it is loaded: of a load, the time of loading counts."""
    loaded = np.array([entry.loaded for entry in entries], np.bool_)
    received = np.array([entry.received_at_ms for entry in entries], np.int64) * 1000
    return np.where(loaded, received, timestamp_us)
