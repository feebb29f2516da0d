"""Evaluations and feedback get the dimensions and the time of the span that they speak of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from assay.collector.writer import arrow
from assay.collector.writer.batch import Entry
from assay.collector.writer.lineage import trace_hash
from assay.collector.writer.store import Store
from assay.contracts.records import Evaluation, Feedback, Span
from assay.pricing.columns import Ints


class Subject(NamedTuple):
    """What a score takes over from its span. Ordered: the root of a trace first, then by time."""

    has_parent: bool
    timestamp_us: int
    span_hash: int
    tenant_id: str
    model: str
    prompt_template_version: str
    task_type: str
    experiment_id: str


@dataclass(frozen=True)
class Subjects:
    """The spans of some traces, by trace hash."""

    by_trace: dict[int, list[Subject]]

    def of(self, trace_id: str, span_id: str = "", tenants: Collection[str] = ()) -> Subject | None:
        """The span that a record names; without a span id, the root or else the first span of its trace.

        Where ``tenants`` are given, only their spans are there: a key of one tenant says nothing about
        another's traces, and cannot learn whether they exist.
        """
        found = self.by_trace.get(trace_hash(trace_id))
        if found and tenants:
            found = [subject for subject in found if subject.tenant_id in tenants]
        if not found:
            return None
        if not span_id:
            return min(found)
        wanted = trace_hash(span_id)
        return next((subject for subject in found if subject.span_hash == wanted), None)

    def tenants(self, trace_id: str) -> set[str]:
        """Who has spans in a trace."""
        return {subject.tenant_id for subject in self.by_trace.get(trace_hash(trace_id), ())}


def subjects(trace_ids: Iterable[str], spans: Iterable[Span], store: Store) -> Subjects:
    """The spans of these traces: those of the block, and those that are stored."""
    wanted = {trace_hash(trace_id) for trace_id in trace_ids}
    by_trace: dict[int, list[Subject]] = {}
    if not wanted:
        return Subjects(by_trace)
    chosen = [(span, hashed) for span in spans if (hashed := trace_hash(span.trace_id)) in wanted]
    times = arrow.microseconds([span.timestamp for span, _ in chosen]).tolist()
    for (span, hashed), timestamp_us in zip(chosen, times, strict=True):
        by_trace.setdefault(hashed, []).append(
            Subject(
                bool(span.parent_span_id),
                timestamp_us,
                trace_hash(span.span_id),
                span.tenant_id,
                span.model,
                span.prompt_template_version,
                span.task_type,
                span.experiment_id,
            )
        )
    stored = store.spans(np.array(sorted(wanted), np.uint64))
    columns = ("trace_hash", "parent_hash", *Subject._fields[1:])
    for hashed, parent, *rest in zip(*(stored[name].to_pylist() for name in columns), strict=True):
        by_trace.setdefault(hashed, []).append(Subject(parent != 0, *rest))
    return Subjects(by_trace)


def evaluation_table(
    evaluations: Sequence[Evaluation],
    found: Sequence[Subject],
    entries: Sequence[Entry],
    retention_us: Ints,
    ingested_at: datetime,
) -> pa.Table:
    """Rows of ``llm_evaluations``."""
    count = len(evaluations)
    return pa.table(
        {
            **_series(found, [""] * count),
            "task_type": arrow.labels([s.task_type for s in found]),
            "experiment_id": arrow.labels([s.experiment_id for s in found]),
            "span_timestamp": arrow.moments(np.array([s.timestamp_us for s in found], np.int64)),
            "timestamp": arrow.moments(arrow.microseconds([e.timestamp for e in evaluations])),
            "trace_id": arrow.strings([e.trace_id for e in evaluations]),
            "span_id": arrow.strings([e.span_id for e in evaluations]),
            "evaluator": arrow.labels([e.evaluator for e in evaluations]),
            "evaluator_version": arrow.labels([e.evaluator_version for e in evaluations]),
            "score": arrow.floats([e.score for e in evaluations]),
            "verdict": arrow.labels([e.verdict for e in evaluations]),
            "confidence": arrow.floats([e.confidence for e in evaluations]),
            "sampling_rate": arrow.floats([e.sampling_rate for e in evaluations]),
            "source": arrow.labels([e.source for e in entries]),
            "ingest_id": arrow.labels([e.id for e in entries]),
            "ingested_at": pa.array([ingested_at] * count, pa.timestamp("ms", tz="UTC")),
            "retention_start": arrow.days(retention_us),
            "sign": pa.array(np.ones(count, np.int8)),
        }
    )


def feedback_table(
    feedback: Sequence[Feedback],
    found: Sequence[Subject | None],
    entries: Sequence[Entry],
    retention_us: Ints,
) -> pa.Table:
    """Rows of ``end_user_feedback``; where no span was ever seen, without its dimensions and time."""
    return pa.table(
        {
            **_series(found, [f.tenant_id for f in feedback]),
            "span_timestamp": pa.array(
                [None if s is None else s.timestamp_us for s in found], pa.int64()
            ).cast(arrow.MOMENT),
            "timestamp": arrow.moments(arrow.microseconds([f.timestamp for f in feedback])),
            "trace_id": arrow.strings([f.trace_id for f in feedback]),
            "user_id": arrow.strings([f.user_id for f in feedback]),
            "value": arrow.floats([f.value for f in feedback]),
            "comment": arrow.strings([f.comment or "" for f in feedback]),
            "ingest_id": arrow.labels([e.id for e in entries]),
            "retention_start": arrow.days(retention_us),
        }
    )


def _series(found: Sequence[Subject | None], tenants: Sequence[str]) -> dict[str, pa.Array]:
    """Of the spans; without one, the tenant whom the sender names."""
    return {
        "tenant_id": arrow.labels(
            [tenant if s is None else s.tenant_id for s, tenant in zip(found, tenants, strict=True)]
        ),
        "model": arrow.labels(["" if s is None else s.model for s in found]),
        "prompt_template_version": arrow.labels(
            ["" if s is None else s.prompt_template_version for s in found]
        ),
    }
