"""Columns of the tables that spans go to: ``llm_traces`` and ``llm_payloads``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from assay.collector.redact import MARKER
from assay.collector.writer import arrow
from assay.collector.writer.batch import Entry
from assay.collector.writer.lineage import PARENT
from assay.collector.writer.responses import TWIN
from assay.contracts.records import Span
from assay.pricing.calls import price
from assay.pricing.columns import Bools, Calls, Ints, Labels, Units
from assay.pricing.table import LIST_PRICES, PriceTable


def trace_table(
    spans: Sequence[Span],
    entries: Sequence[Entry],
    timestamp_us: Ints,
    retention_us: Ints,
    billed: Bools,
    ingested_at: datetime,
    prices: PriceTable = LIST_PRICES,
    twins: Bools | None = None,
) -> pa.Table:
    """Rows of ``llm_traces``, priced.

    Args:
        spans: that are new.
        entries: the queue entry of each.
        timestamp_us: their times.
        retention_us: from when each is to be kept: its own time, or that of its load.
        billed: whether each counts as far as its trace is concerned.
        ingested_at: time of the block.
        prices: at which they are priced.
        twins: which tell of a call that another span is billed for.
    """
    tokens = [span.tokens for span in spans]
    provider = Labels.of([span.provider for span in spans])
    model = Labels.of([span.model for span in spans])
    response_model = Labels.of([span.response_model for span in spans])
    tier = Labels.of([span.pricing_tier for span in spans])
    prompt = arrow.counts([t.prompt for t in tokens])
    completion = arrow.counts([t.completion for t in tokens])
    cached = arrow.counts([t.cached for t in tokens])
    cache_write = arrow.counts([t.cache_write for t in tokens])
    cache_write_1h = arrow.counts([t.cache_write_1h for t in tokens])
    reasoning = arrow.counts([t.reasoning for t in tokens])
    reasons = Labels(np.where(billed, 0, 1).astype(np.int32), ["", PARENT, TWIN])
    if twins is not None:
        reasons.codes[billed & twins] = 2
    priced = price(
        Calls(
            provider=provider,
            model=model,
            response_model=response_model,
            pricing_tier=tier,
            timestamp_us=timestamp_us,
            prompt=_known(prompt),
            completion=_known(completion),
            cached=_known(cached),
            cache_write=_known(cache_write),
            reasoning=_known(reasoning),
            cache_write_1h=_known(cache_write_1h),
            tenant=Labels.of([span.tenant_id for span in spans]),
            units=Units.of([span.units for span in spans]),
        ),
        prices,
    )
    return pa.table(
        {
            "tenant_id": arrow.labels([s.tenant_id for s in spans]),
            "model": arrow.coded(model),
            "prompt_template_version": arrow.labels([s.prompt_template_version for s in spans]),
            "timestamp": arrow.moments(timestamp_us),
            "trace_id": arrow.strings([s.trace_id for s in spans]),
            "span_id": arrow.strings([s.span_id for s in spans]),
            "parent_span_id": arrow.strings([s.parent_span_id for s in spans]),
            "response_model": arrow.coded(response_model),
            "response_id": arrow.strings([s.response_id for s in spans]),
            "provider": arrow.coded(priced.provider),
            "pricing_tier": arrow.coded(tier),
            "task_type": arrow.labels([s.task_type for s in spans]),
            "session_id": arrow.strings([s.session_id for s in spans]),
            "user_id": arrow.strings([s.user_id for s in spans]),
            "experiment_id": arrow.labels([s.experiment_id for s in spans]),
            "experiment_variant": arrow.labels([s.experiment_variant for s in spans]),
            "environment": arrow.labels([s.environment for s in spans]),
            "status": arrow.labels([s.status for s in spans]),
            "error_type": arrow.labels([s.error_type for s in spans]),
            "finish_reason": arrow.labels([s.finish_reason for s in spans]),
            "modality": arrow.labels([s.modality for s in spans]),
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cached_tokens": cached,
            "cache_write_tokens": cache_write,
            "cache_write_1h_tokens": cache_write_1h,
            "reasoning_tokens": reasoning,
            "units": arrow.units([s.units for s in spans]),
            "billed": pa.array(reasons.codes == 0, pa.bool_()),
            "unbilled_reason": arrow.coded(reasons),
            "cost_usd": arrow.pico_usd(priced.cost_pico, priced.known),
            "cost_status": arrow.coded(priced.status),
            "cost_reason": arrow.coded(priced.reason),
            "price_source": arrow.coded(priced.source),
            "reported_cost_usd": arrow.money([s.cost_usd for s in spans]),
            "latency_ms": arrow.floats([s.latency_ms for s in spans]),
            "ttft_ms": arrow.floats([s.ttft_ms for s in spans]),
            "attributes": arrow.attributes([s.attributes for s in spans]),
            "source": arrow.labels([e.source for e in entries]),
            "ingest_id": arrow.labels([e.id for e in entries]),
            "ingested_at": pa.array([ingested_at] * len(spans), pa.timestamp("ms", tz="UTC")),
            "retention_start": arrow.days(retention_us),
            "sign": pa.array(np.ones(len(spans), np.int8)),
        }
    )


def payload_table(spans: Sequence[Span], timestamp_us: Ints, retention_us: Ints) -> pa.Table | None:
    """Rows of ``llm_payloads``: of the spans that carry text. None where none does."""
    rows = [
        row
        for row, span in enumerate(spans)
        if span.input is not None or span.output is not None or span.context is not None
    ]
    if not rows:
        return None
    chosen = [spans[row] for row in rows]
    texts = [(s.input or "", s.output or "", s.context or []) for s in chosen]
    redactions = [
        sum(text.count(MARKER) for text in (given, answer, *context)) for given, answer, context in texts
    ]
    return pa.table(
        {
            "tenant_id": arrow.labels([s.tenant_id for s in chosen]),
            "timestamp": arrow.moments(timestamp_us[rows]),
            "trace_id": arrow.strings([s.trace_id for s in chosen]),
            "span_id": arrow.strings([s.span_id for s in chosen]),
            "input": arrow.strings([given for given, _, _ in texts]),
            "output": arrow.strings([answer for _, answer, _ in texts]),
            "context": pa.array([context for _, _, context in texts], pa.list_(pa.string())),
            "redactions": arrow.counts(redactions),
            "retention_start": arrow.days(retention_us[rows]),
        }
    )


def _known(column: pa.Array) -> Ints:
    """Token counts with 0 for what was not reported: an unknown class of tokens costs nothing of its own."""
    found: Ints = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return found
