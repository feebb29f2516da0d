"""Which spans are billed: only the one that called the model, not a parent that repeats its children's usage.

A span with usage that is an ancestor of another span with usage is kept and not counted. Where the child
is stored first, the parent is stored unbilled. Where the parent is stored first, it is corrected when the
child arrives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from assay.collector.writer.store import Store, Stored
from assay.contracts.records import Span

# ``unbilled_reason`` of a span that repeats the usage of those inside it.
PARENT: Final = "parent"
# Tenant, trace and span: a tenant that knows another's ids must not reach into its traces.
Key = tuple[str, int, int]


@dataclass(frozen=True)
class Node:
    """A span in the tree of its trace. ``stored`` says where it is in the store; None: it is of the block."""

    parent: int
    has_usage: bool
    stored: Stored | None


@dataclass(frozen=True)
class Lineage:
    """What the trees say.

    Attributes:
        billed: per span of the block.
        repeating: stored spans that repeat the usage of a span of the block; they may be unbilled already.
    """

    billed: NDArray[np.bool_]
    repeating: list[Stored]


def trace_hash(trace_id: str) -> int:
    """As the store's span index has it."""
    return xxhash.xxh3_64_intdigest(trace_id.encode())


def lineage(spans: list[Span], traces: NDArray[np.uint64], store: Store) -> Lineage:
    """Decide who is billed among the block's spans and the stored spans of their traces.

    Args:
        spans: that are new.
        traces: their trace hashes.
        store: asked once, for stored spans of these traces.
    """
    billed = np.ones(len(spans), np.bool_)
    if not spans:
        return Lineage(billed, [])
    with_parent = any(span.parent_span_id for span in spans)
    stored = store.spans(np.unique(traces), with_parent_only=not with_parent)
    if not with_parent and not stored.num_rows:
        return Lineage(billed, [])
    nodes = _stored_nodes(stored)
    rows: dict[Key, int] = {}
    for row, (span, trace) in enumerate(zip(spans, traces.tolist(), strict=True)):
        key = (span.tenant_id, trace, trace_hash(span.span_id))
        parent = trace_hash(span.parent_span_id) if span.parent_span_id else 0
        nodes[key] = Node(parent, span.tokens.prompt + span.tokens.completion > 0, None)
        rows[key] = row
    repeating = []
    for key in sorted(_repeating(nodes)):
        if key in rows:
            billed[rows[key]] = False
        elif (stored_at := nodes[key].stored) is not None:
            repeating.append(stored_at)
    return Lineage(billed, repeating)


def corrections(store: Store, spans: Sequence[Stored]) -> pa.Table | None:
    """Pairs of rows that take billed spans out of the count: as it was with sign -1, unbilled with sign 1."""
    if not spans:
        return None
    rows = store.trace_rows(spans)
    if not rows.num_rows:
        return None
    return pa.concat_tables(
        [_with(rows, billed=True, reason="", sign=-1), _with(rows, billed=False, reason=PARENT, sign=1)]
    )


def billed_now(store: Store, spans: Sequence[Stored]) -> tuple[list[Stored], pa.Table | None]:
    """Of stored spans those that are billed now, and their rows in no order; None where there are none."""
    if not spans:
        return [], None
    rows = store.trace_rows(spans)
    billed = rows.filter(pc.equal(rows["billed"], True))
    if not billed.num_rows:
        return [], None
    keys = {
        (tenant, trace_hash(trace), trace_hash(span))
        for tenant, trace, span in zip(
            *(billed[name].to_pylist() for name in ("tenant_id", "trace_id", "span_id")), strict=True
        )
    }
    found = [span for span in spans if (span.tenant_id, span.trace_hash, span.span_hash) in keys]
    return found, billed


def _repeating(nodes: dict[Key, Node]) -> Iterable[Key]:
    """Spans with usage that have a descendant with usage."""
    found: set[Key] = set()
    for key, node in nodes.items():
        if not node.has_usage:
            continue
        path: list[Key] = []
        above = (*key[:2], node.parent)
        while above[2] and above in nodes and above != key and above not in found and above not in path:
            path.append(above)
            above = (*key[:2], nodes[above].parent)
        # Parents in a circle, which only broken instrumentation makes, are nobody's ancestors: all stay
        # billed.
        if above != key and above not in path:
            found.update(ancestor for ancestor in path if nodes[ancestor].has_usage)
    return found


def _stored_nodes(stored: pa.Table) -> dict[Key, Node]:
    names = (*Stored._fields, "parent_hash", "has_usage")
    nodes = {}
    for *fields, parent, has_usage in zip(*(stored[name].to_pylist() for name in names), strict=True):
        at = Stored(*fields)
        nodes[at.tenant_id, at.trace_hash, at.span_hash] = Node(parent, has_usage, at)
    return nodes


def _with(rows: pa.Table, *, billed: bool, reason: str, sign: int) -> pa.Table:
    for name, value in (
        ("billed", pa.scalar(billed, pa.bool_())),
        ("unbilled_reason", pa.scalar(reason, pa.string())),
        ("sign", pa.scalar(sign, pa.int8())),
    ):
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.repeat(value, rows.num_rows))
    return rows
