"""A block: a decoded batch, and what is known of its rows without the lock."""

from __future__ import annotations

from dataclasses import dataclass

from assay.collector.writer import identity, responses
from assay.collector.writer.batch import Batch
from assay.collector.writer.identity import Identities
from assay.collector.writer.responses import Responses


@dataclass
class Block:
    """A decoded batch and the identities of its rows: all that can be had without the lock.

    Attributes:
        responses: of its spans; None where none tells of a known response.
    """

    batch: Batch
    identities: dict[str, Identities]
    responses: Responses | None

    @classmethod
    def of(cls, batch: Batch) -> Block:
        identities = identity.identify_all(batch)
        told = responses.of_spans(batch.spans(), identities["span"]) if "span" in identities else None
        return cls(batch, identities, told if told is not None and len(told.rows) else None)

    @property
    def entry_ids(self) -> list[str]:
        return [entry.id for entry in self.batch.entries]
