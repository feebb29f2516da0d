"""What is decided about a block under the lock: which rows are new, which are billed, at which prices."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from assay.collector.writer import identity, lineage, parking, responses
from assay.collector.writer.block import Block
from assay.collector.writer.lineage import Lineage
from assay.collector.writer.parking import Parking
from assay.collector.writer.store import Store, Stored
from assay.pricing.columns import Bools
from assay.pricing.table import PriceTable


class Note(msgspec.Struct, array_like=True):
    """What a crashed block is rebuilt from.

    Attributes:
        entries: ids in the stream.
        fresh: per kind with an identity, which rows are new, as packed bits.
        corrected: stored spans that the block takes out of the count.
        prices: version of the price table that it is priced with.
        twins: which spans tell of a call that another is billed for, as packed bits; empty: none.
    """

    entries: list[str]
    fresh: dict[str, bytes]
    corrected: list[Stored]
    prices: str = ""
    twins: bytes = b""


@dataclass(frozen=True)
class Decision:
    """Which rows of a block count, and at which prices.

    Attributes:
        twins: per span of the block, whether it tells of a call that another is billed for.
    """

    fresh: dict[str, Bools]
    lineage: Lineage
    corrected: list[Stored]
    prices: PriceTable
    twins: Bools

    @property
    def billed(self) -> Bools:
        """Per span of the block, whether it is new and billed."""
        return _billed(self.fresh["span"], self.lineage) & ~self.twins

    def note(self, block: Block) -> Note:
        """The decision as it survives a crash."""
        packed = {kind: np.packbits(rows).tobytes() for kind, rows in self.fresh.items()}
        twins = np.packbits(self.twins).tobytes() if self.twins.any() else b""
        return Note(block.entry_ids, packed, self.corrected, self.prices.version, twins)


def decide(block: Block, store: Store, parked: Parking, prices: PriceTable) -> Decision:
    """Ask the store which rows are new. Only valid while the lock is held."""
    identities = list(block.identities.values())
    asked = [identity.asked(identities)] if identities else []
    if block.responses is not None:
        asked.append(block.responses.asked)
    known = store.known_identities(asked)
    fresh = identity.fresh(identities, known)
    for kind in ("evaluation", "feedback", "outcome", "label"):
        if kind in fresh:
            hashes = block.identities[kind].hashes.tolist()
            waiting = parked.present([parking.member(kind, value) for value in hashes])
            fresh[kind] &= ~np.array(waiting, np.bool_)
    found = _lineage(block, fresh, store)
    corrected, rows = lineage.billed_now(store, found.repeating)
    twins = np.zeros(len(block.batch.kinds["span"]), np.bool_)
    if block.responses is not None:
        given_back = None if rows is None else responses.released(rows)
        twins = responses.twins(block.responses, _billed(fresh["span"], found), known, given_back)
    return Decision(fresh, found, corrected, prices, twins)


def recall(block: Block, note: Note, store: Store, prices: PriceTable) -> Decision:
    """The decision that was noted before a crash."""
    fresh = {kind: _unpacked(packed, len(block.batch.kinds[kind])) for kind, packed in note.fresh.items()}
    twins = np.zeros(len(block.batch.kinds["span"]), np.bool_)
    # Of nothing, numpy unpacks bits of chance.
    if note.twins:
        twins = _unpacked(note.twins, len(twins))
    return Decision(fresh, _lineage(block, fresh, store), note.corrected, prices, twins)


def _unpacked(packed: bytes, count: int) -> Bools:
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=count).astype(np.bool_)


def _billed(fresh: Bools, found: Lineage) -> Bools:
    """Per span of the block, whether it is new and its trace has it billed."""
    billed = fresh.copy()
    billed[fresh] = found.billed
    return billed


def _lineage(block: Block, fresh: dict[str, Bools], store: Store) -> Lineage:
    if "span" not in fresh:
        return Lineage(np.zeros(0, np.bool_), [])
    spans = block.batch.spans()
    chosen = [spans[row] for row in np.flatnonzero(fresh["span"]).tolist()]
    traces = np.array([lineage.trace_hash(span.trace_id) for span in chosen], np.uint64)
    return lineage.lineage(chosen, traces, store)
