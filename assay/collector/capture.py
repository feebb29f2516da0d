"""What may be kept of prompts and answers, per tenant, decided before anything reaches the queue.

The default is nothing. A tenant's policy stands in the table ``tenants``: ``none``, ``sampled`` (the traces
that :func:`share` puts below the sample rate) or ``full``. What is kept is redacted first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import xxhash
from clickhouse_connect.driver.client import Client

from assay.collector.redact import DEFAULT, Redactor
from assay.contracts.records import Capture, Feedback, Record, Span

# Attributes carry text too (instrumentations put whole prompts there). Under these names nothing but a number
# is kept of a tenant whose text is not captured; under other names, what is short enough to be a label.
_TEXT_NAME: Final = re.compile(
    r"prompt|completion|message|content|input|output|text|body|query|question|answer|document|argument|"
    r"instruction|variable|payload|transcript|tool|function|summary|description|params|exception|stack",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,3})?|true|false", re.IGNORECASE)
LABEL_LENGTH: Final = 256


class Policies:
    """Capture policies as they were last read. A tenant that is not listed has ``none``.

    Args:
        captures: policy per tenant.
        sample_rate: share of traces that ``sampled`` keeps, 0 to 1.
    """

    def __init__(self, captures: Mapping[str, Capture] | None = None, *, sample_rate: float = 0.1) -> None:
        self._captures = {
            tenant: capture for tenant, capture in (captures or {}).items() if capture != "none"
        }
        self.sample_rate = sample_rate

    def __len__(self) -> int:
        return len(self._captures)

    def captures(self, tenant_id: str) -> bool:
        """Whether any text of the tenant may be kept."""
        return tenant_id in self._captures

    def keeps(self, tenant_id: str, trace_id: str) -> bool:
        """Whether the text of this trace may be kept."""
        capture = self._captures.get(tenant_id, "none")
        return capture == "full" or (capture == "sampled" and share(trace_id) < self.sample_rate)


def share(trace_id: str) -> float:
    """Where a trace stands in every sample, 0 to 1: a trace in a small sample is in each larger one."""
    return xxhash.xxh64_intdigest(trace_id.encode()) / 2.0**64


def read_policies(client: Client, *, sample_rate: float) -> Policies:
    """The policies in the table ``tenants``."""
    rows = client.query("SELECT tenant_id, capture FROM tenants FINAL WHERE capture != 'none'").result_rows
    return Policies({row[0]: row[1] for row in rows}, sample_rate=sample_rate)


def apply(records: Iterable[Record], policies: Policies, redactor: Redactor = DEFAULT) -> None:
    """Drop from each record, in place, the text that its tenant does not let out, and redact the rest."""
    for record in records:
        if isinstance(record, Span):
            _apply_to_span(record, policies, redactor)
        elif isinstance(record, Feedback) and record.comment:
            # No tenant is known yet: the comment was meant to be sent, but not what slipped into it.
            record.comment = redactor.redact(record.comment)


def _apply_to_span(span: Span, policies: Policies, redactor: Redactor) -> None:
    if span.input is None and span.output is None and span.context is None and span.attributes is None:
        return
    kept = policies.keeps(span.tenant_id, span.trace_id)
    if span.attributes is not None:
        span.attributes = {
            name: redactor.redact(value)
            for name, value in span.attributes.items()
            if kept or _is_label(name, value)
        } or None
    if not kept:
        span.input = span.output = span.context = None
        return
    if span.input is not None:
        span.input = redactor.redact(span.input)
    if span.output is not None:
        span.output = redactor.redact(span.output)
    if span.context is not None:
        span.context = [redactor.redact(document) for document in span.context]


@lru_cache(maxsize=4096)
def _names_text(name: str) -> bool:
    return _TEXT_NAME.search(name) is not None


def _is_label(name: str, value: str) -> bool:
    if _names_text(name):
        return _NUMBER.fullmatch(value) is not None
    return len(value) <= LABEL_LENGTH
