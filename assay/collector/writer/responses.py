"""One call of a provider, told by two instrumentations: it is billed once.

A client's own spans and those of an instrumentation around it, or a gateway's log and the application's
spans, have ids of their own, and the provider's response in common. Of the spans that tell of one response
of a tenant, the first that is billed stays so (:mod:`assay.collector.writer.lineage` decides before). It
claims the response, in ``ingest_identity``; later ones are stored and not billed. A span that is taken out of
the count when a child of it arrives gives its response back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assay.collector.writer.identity import Hashes, Identities, Mark, Minutes, digest
from assay.collector.writer.store import Asked, Known
from assay.contracts.records import Span
from assay.pricing.columns import Bools, Ints

CLAIMED: Final = "response"
RELEASED: Final = "response_released"
# ``unbilled_reason`` of a span that tells of a call that another one is billed for.
TWIN: Final = "twin"

# Shorter ids do not tell calls apart: some servers number their answers (Ollama: "chatcmpl-" and up to three
# digits; LMDeploy before June 2026: a session's number). A random part of 64 bits has 11 characters or more.
SHORTEST: Final = 16
# Around a call, instrumentations begin within milliseconds of each other; a gateway may let a call wait, and
# a client may try again inside one span.
_MINUTE: Final = 60
_AROUND_S: Final = (-_MINUTE, 0, _MINUTE)
# Odd, without pattern (2**64 / the golden ratio): minutes that follow each other give hashes far apart.
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_NONE: Final = Known(np.zeros(0, np.uint64), np.zeros(0, np.uint32))


@dataclass(frozen=True)
class Responses:
    """Of the spans of a block those that tell of a known response and of usage.

    Attributes:
        rows: which spans they are, ascending.
        hashes: of tenant and response id, one per row.
        minute: Unix seconds of the minute of the call, one per row.
    """

    rows: NDArray[np.intp]
    hashes: Hashes
    minute: Minutes

    @property
    def asked(self) -> Asked:
        """The question which are claimed, in their minute, the one before or the one after."""
        return Asked((CLAIMED, RELEASED), self.hashes, self.minute, _AROUND_S)

    def claims(self, chosen: Bools, retention_us: Ints) -> Mark:
        """The claims of spans.

        Args:
            chosen: per span of the block, whether it is billed.
            retention_us: per span of the block, from when it is kept.
        """
        these = chosen[self.rows]
        return Mark(CLAIMED, self.minute[these], self.hashes[these], retention_us[self.rows[these]])


def of_spans(spans: Sequence[Span], identities: Identities) -> Responses:
    """The responses that the spans of a block tell of. Without usage there is nothing to count twice."""
    found = [
        (row, digest(span.tenant_id, span.response_id))
        for row, span in enumerate(spans)
        if len(span.response_id) >= SHORTEST and (span.tokens.prompt or span.tokens.completion or span.units)
    ]
    rows = np.array([row for row, _ in found], np.intp)
    return Responses(rows, np.array([value for _, value in found], np.uint64), identities.minute[rows])


def released(rows: pa.Table) -> Mark:
    """What stored spans give back that are taken out of the count.

    Args:
        rows: of ``llm_traces``, billed until now.
    """
    names = ("tenant_id", "response_id")
    hashes = np.array(
        [
            digest(tenant, response) if len(response) >= SHORTEST else 0
            for tenant, response in zip(*(rows[name].to_pylist() for name in names), strict=True)
        ],
        np.uint64,
    )
    known = hashes != 0
    times = _microseconds(rows["timestamp"])[known]
    minute = (times // 1_000_000 // _MINUTE * _MINUTE).astype(np.uint32)
    retention = _microseconds(rows["retention_start"])[known]
    return Mark(RELEASED, minute, hashes[known], retention)


def twins(told: Responses, billed: Bools, known: Mapping[str, Known], given_back: Mark | None) -> Bools:
    """Which spans of a block tell of a call that another span is billed for.

    Args:
        told: of the spans of the block.
        billed: per span of the block, whether it is new and billed as far as its trace is concerned.
        known: what the store answered to ``told.asked``, by kind.
        given_back: what stored spans give back in this block.
    """
    twin = np.zeros(len(billed), np.bool_)
    left = np.flatnonzero(billed[told.rows])
    if not len(left):
        return twin
    held = _held(known.get(CLAIMED, _NONE), known.get(RELEASED, _NONE), given_back or _NONE)
    if len(held):
        around = told.minute[left, None].astype(np.int64) + np.array(_AROUND_S)
        repeated = np.isin(_slots(told.hashes[left, None], around), held).any(axis=1)
        twin[told.rows[left[repeated]]] = True
        left = left[~repeated]
    # Of the rest the first of each response stays, with what is more than a minute away from it. One turn
    # unless an id is used for hours.
    while len(left):
        _, first, group = np.unique(told.hashes[left], return_index=True, return_inverse=True)
        if len(first) == len(left):
            break
        minute = told.minute[left].astype(np.int64)
        near = np.abs(minute - minute[first][group]) <= _MINUTE
        later = np.ones(len(left), np.bool_)
        later[first] = False
        twin[told.rows[left[near & later]]] = True
        left = left[~near]
    return twin


def _held(claims: Known, *given_back: Known | Mark) -> Hashes:
    """Responses that were claimed more often than they were given back, each with its minute."""
    held, count = np.unique(_slots(claims.hashes, claims.minute), return_counts=True)
    gone, times = np.unique(
        np.concatenate([_slots(back.hashes, back.minute) for back in given_back]), return_counts=True
    )
    _, at, of = np.intersect1d(held, gone, assume_unique=True, return_indices=True)
    count[at] -= times[of]
    return held[count > 0]


def _slots(hashes: Hashes, minute: Minutes | Ints) -> Hashes:
    """Response and minute in one number."""
    return hashes ^ (minute.astype(np.uint64) * _SPREAD)


def _microseconds(column: pa.ChunkedArray) -> Ints:
    found: Ints = column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy()
    return found
