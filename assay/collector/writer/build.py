"""The tables of a block, which follow from what was decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.collector.writer import identity, lineage, parking, reference, responses, scores, spans
from assay.collector.writer.batch import Entry, Rejection
from assay.collector.writer.block import Block
from assay.collector.writer.decision import Decision
from assay.collector.writer.identity import Mark
from assay.collector.writer.parking import Parked
from assay.collector.writer.store import Store
from assay.contracts.records import Evaluation, Feedback, Label, Outcome
from assay.pricing.columns import Bools, Ints


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


def build(block: Block, decision: Decision, store: Store) -> Build:
    """The tables of a block, and what becomes of each of its entries (counted in the entries themselves)."""
    return _Builder(block, decision, store).build()


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
        self._marks: list[Mark] = []
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
        if self._marks:
            self._add("ingest_identity", identity.table(self._marks))
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
        self._marks.append(Mark(kind, found.minute[chosen], found.hashes[chosen], retention[chosen]))

    def _spans(self) -> None:
        records, entries, times, retention = self._rows("span")
        if records:
            decision = self._decision
            table = spans.trace_table(
                records,
                entries,
                times,
                retention,
                decision.lineage.billed,
                self._now,
                decision.prices,
                decision.twins[decision.fresh["span"]],
            )
            corrections = lineage.corrections(self._store, decision.corrected)
            if corrections is not None:
                table = pa.concat_tables([corrections, table.cast(corrections.schema)])
                self._marks.append(responses.released(corrections.filter(pc.equal(corrections["sign"], -1))))
            self._add("llm_traces", table)
            self._add("llm_payloads", spans.payload_table(records, times, retention))
            self._claims(decision.billed)
        self._stored("span")

    def _claims(self, billed: Bools) -> None:
        """Note the responses that the block's spans are billed for."""
        told = self._block.responses
        if told is not None:
            entries = self._batch.kinds["span"].entries
            retention = _retention(entries, self._block.identities["span"].timestamp_us)
            self._marks.append(told.claims(billed, retention))

    def _about_traces(self) -> None:
        evaluations = self._rows("evaluation")
        feedback = self._rows("feedback")
        outcomes = self._rows("outcome")
        labels = self._rows("label")
        # An outcome or a label that may speak of every trace, or names its tenant, needs nothing of its span.
        traces = {
            record.trace_id
            for records, entries, *_ in (evaluations, feedback, outcomes, labels)
            for record, entry in zip(records, entries, strict=True)
            if isinstance(record, Evaluation | Feedback) or (entry.tenants and not record.tenant_id)
        }
        found = scores.subjects(traces, self._batch.spans(), self._store)
        self._evaluations(found, *evaluations)
        self._feedback(found, *feedback)
        self._outcomes(found, *outcomes)
        self._labels(found, *labels)

    def _evaluations(
        self, found: scores.Subjects, records: list[Any], entries: list[Entry], _: Ints, retention: Ints
    ) -> None:
        subjects = [
            found.of(r.trace_id, r.span_id, _speaks_of(r, e)) for r, e in zip(records, entries, strict=True)
        ]
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
        subjects = [
            found.of(r.trace_id, tenants=_speaks_of(r, e)) for r, e in zip(records, entries, strict=True)
        ]
        # What a user said is kept even if its span never comes; not what a key of some tenants said about a
        # trace that may be another's.
        stored = np.array(
            [
                s is not None or (parking.expired(e) and bool(r.tenant_id or not e.tenants))
                for s, r, e in zip(subjects, records, entries, strict=True)
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
            if record.tenant_id:
                reason += f" of tenant {record.tenant_id}"
            elif entry.tenants:
                reason += " of a tenant of the API key that it came with"
            self._rejections.append(
                Rejection(entry, 0, "trace_id", f"{reason} within 24 hours", msgspec.json.encode(record))
            )

    def _outcomes(
        self, found: scores.Subjects, records: list[Any], entries: list[Entry], _: Ints, retention: Ints
    ) -> None:
        tenants = [_tenant_of(r, e, found) for r, e in zip(records, entries, strict=True)]
        stored = np.array([tenant is not None for tenant in tenants], np.bool_)
        self._wait("outcome", records, entries, ~stored)
        self._stored("outcome", stored)
        if stored.any():
            self._add(
                "business_outcomes",
                reference.outcome_table(
                    _chosen(records, stored),
                    _chosen(tenants, stored),
                    _chosen(entries, stored),
                    retention[stored],
                ),
            )

    def _labels(
        self, found: scores.Subjects, records: list[Any], entries: list[Entry], _: Ints, __: Ints
    ) -> None:
        tenants = [_tenant_of(r, e, found) for r, e in zip(records, entries, strict=True)]
        stored = np.array([tenant is not None for tenant in tenants], np.bool_)
        self._wait("label", records, entries, ~stored)
        self._stored("label", stored)
        if stored.any():
            self._add(
                "human_labels",
                reference.label_table(
                    _chosen(records, stored), _chosen(tenants, stored), _chosen(entries, stored)
                ),
            )


def _speaks_of(record: Evaluation | Feedback, entry: Entry) -> Sequence[str]:
    """Whose spans a record may be about; empty: everybody's."""
    return (record.tenant_id,) if record.tenant_id else entry.tenants


def _tenant_of(record: Outcome | Label, entry: Entry, found: scores.Subjects) -> str | None:
    """Whose an outcome or a label is, empty where nobody says so; None where its key may not say it (yet).

    A key of some tenants that names none speaks of those of its tenants that have the trace: of one, it is
    that one's.
    """
    if record.tenant_id or not entry.tenants:
        return record.tenant_id
    having = found.tenants(record.trace_id).intersection(entry.tenants)
    if not having:
        return None
    return next(iter(having)) if len(having) == 1 else ""


def _retention(entries: Sequence[Entry], timestamp_us: Ints) -> Ints:
    """Old data is not to be dropped as soon as it is loaded: of a load, the time of loading counts."""
    loaded = np.array([entry.loaded for entry in entries], np.bool_)
    received = np.array([entry.received_at_ms for entry in entries], np.int64) * 1000
    return np.where(loaded, received, timestamp_us)
