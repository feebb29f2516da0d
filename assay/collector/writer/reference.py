"""Columns of the tables whose records need nothing but themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa

from assay.collector.writer import arrow
from assay.collector.writer.batch import Entry, Rejection
from assay.contracts.records import (
    CanonicalExample,
    Contract,
    Deployment,
    ExchangeRate,
    Incident,
    Invoice,
    Label,
    Outcome,
    TaskTime,
    Tenant,
)
from assay.pricing.columns import Ints
from assay.pricing.providers import stored_name


def outcome_table(
    outcomes: Sequence[Outcome], tenants: Sequence[str], entries: Sequence[Entry], retention_us: Ints
) -> pa.Table:
    """Rows of ``business_outcomes``; ``tenants`` says whose each is, empty where that is not known."""
    return pa.table(
        {
            "tenant_id": arrow.labels(tenants),
            "trace_id": arrow.strings([o.trace_id for o in outcomes]),
            "user_id": arrow.strings([o.user_id for o in outcomes]),
            "event": arrow.labels([o.event for o in outcomes]),
            "value": arrow.money([o.value for o in outcomes]),
            "timestamp": arrow.moments(arrow.microseconds([o.timestamp for o in outcomes])),
            "ingest_id": arrow.labels([e.id for e in entries]),
            "retention_start": arrow.days(retention_us),
        }
    )


def label_table(labels: Sequence[Label], tenants: Sequence[str], entries: Sequence[Entry]) -> pa.Table:
    """Rows of ``human_labels``; ``tenants`` as of outcomes."""
    return pa.table(
        {
            "tenant_id": arrow.labels(tenants),
            "trace_id": arrow.strings([label.trace_id for label in labels]),
            "rater": arrow.labels([label.rater for label in labels]),
            "score": arrow.floats([label.score for label in labels]),
            "rubric": arrow.labels([label.rubric for label in labels]),
            "timestamp": arrow.moments(arrow.microseconds([label.timestamp for label in labels])),
            "ingest_id": arrow.labels([e.id for e in entries]),
        }
    )


def reject_table(rejections: Sequence[Rejection]) -> pa.Table:
    """Rows of ``ingest_rejects``."""
    received = pa.array([r.entry.received_at_ms for r in rejections], pa.int64())
    return pa.table(
        {
            "received_at": received.cast(pa.timestamp("ms", tz="UTC")),
            "kind": arrow.labels([r.entry.kind for r in rejections]),
            "source": arrow.labels([r.entry.source for r in rejections]),
            "position": arrow.counts([r.position for r in rejections]),
            "field": arrow.strings([r.field for r in rejections]),
            "reason": arrow.strings([r.reason for r in rejections]),
            # Bytes as they came: they need not be text.
            "payload": pa.array([r.payload for r in rejections], pa.binary()),
            "ingest_id": arrow.labels([r.entry.id for r in rejections]),
        }
    )


def _tenants(records: Sequence[Tenant]) -> pa.Table:
    # Of a tenant that stands twice in a block the later entry counts.
    latest = list({record.tenant_id: record for record in records}.values())
    names = ("tenant_id", "name", "tier", "time_zone", "currency", "cost_centre", "risk_class", "capture")
    return pa.table({name: arrow.strings([getattr(r, name) for r in latest]) for name in names})


def _task_times(records: Sequence[TaskTime]) -> pa.Table:
    return pa.table(
        {
            "task_type": arrow.labels([r.task_type for r in records]),
            "human_minutes": arrow.floats([r.human_minutes for r in records]),
            "source": arrow.labels([r.source for r in records]),
            "timestamp": arrow.moments(arrow.microseconds([r.timestamp for r in records])),
        }
    )


def _examples(records: Sequence[CanonicalExample]) -> pa.Table:
    return pa.table(
        {
            "task_type": arrow.labels([r.task_type for r in records]),
            "text": arrow.strings([r.text for r in records]),
            "complexity": arrow.floats([r.complexity for r in records]),
        }
    )


def _invoices(records: Sequence[Invoice]) -> pa.Table:
    return pa.table(
        {
            # As calls have it: invoices are compared with these.
            "provider": arrow.labels([stored_name(r.provider) for r in records]),
            "model": arrow.labels([r.model for r in records]),
            "period_start": pa.array([r.period_start for r in records], pa.date32()),
            "period_end": pa.array([r.period_end for r in records], pa.date32()),
            "amount_usd": arrow.money([r.amount_usd for r in records]),
        }
    )


def _contracts(records: Sequence[Contract]) -> pa.Table:
    # Of a contract that stands twice in a block the later entry counts.
    latest = list({record.contract_id: record for record in records}.values())
    names = ("contract_id", "kind", "model", "tenant_id", "pricing_tier", "per", "source")
    return pa.table(
        {
            "provider": arrow.strings([stored_name(r.provider) for r in latest]),
            **{name: arrow.strings([getattr(r, name) for r in latest]) for name in names},
            "amount_usd": arrow.money([r.amount_usd for r in latest]),
            "units": arrow.money([r.units for r in latest]),
            "tokens_per_minute": pa.array([r.tokens_per_minute for r in latest], pa.uint32()),
            "output_weight": arrow.money([r.output_weight for r in latest]),
            "cache_read_weight": arrow.money([r.cache_read_weight for r in latest]),
            "valid_from": pa.array([r.valid_from for r in latest], pa.date32()),
            "valid_to": pa.array([r.valid_to for r in latest], pa.date32()),
        }
    )


def _exchange_rates(records: Sequence[ExchangeRate]) -> pa.Table:
    latest = list({(record.currency, record.day): record for record in records}.values())
    return pa.table(
        {
            "currency": arrow.labels([r.currency for r in latest]),
            "day": pa.array([r.day for r in latest], pa.date32()),
            "rate": arrow.money([r.rate for r in latest]),
            "source": arrow.strings([r.source for r in latest]),
        }
    )


def _deployments(records: Sequence[Deployment]) -> pa.Table:
    names = ("tenant_id", "model", "prompt_template_version", "version", "description")
    return pa.table(
        {
            "timestamp": arrow.moments(arrow.microseconds([r.timestamp for r in records])),
            **{name: arrow.strings([getattr(r, name) for r in records]) for name in names},
        }
    )


def _incidents(records: Sequence[Incident]) -> pa.Table:
    names = ("id", "tenant_id", "expected", "family", "description")
    return pa.table(
        {
            "start": arrow.moments(arrow.microseconds([r.start for r in records])),
            "end": arrow.moments(arrow.microseconds([r.end for r in records])),
            **{name: arrow.strings([getattr(r, name) for r in records]) for name in names},
        }
    )


# Kind of record: table, columns. Each of these tables keeps the newest row of a key.
REPLACING: Final[dict[str, tuple[str, Callable[[Any], pa.Table]]]] = {
    "tenant": ("tenants", _tenants),
    "task_time": ("task_times", _task_times),
    "canonical_example": ("canonical_examples", _examples),
    "invoice": ("provider_invoices", _invoices),
    "contract": ("provider_contracts", _contracts),
    "exchange_rate": ("exchange_rates", _exchange_rates),
    "deployment": ("deployments", _deployments),
    "incident": ("incidents", _incidents),
}
