"""The columns that pricing takes and gives: one entry per call, no Python object per call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Money in vectorised code is a whole number of pico-dollars: the last place of Decimal(38, 12).
PICO_PER_USD = 10**12
_MICRO = Decimal("1e-6")


@dataclass(frozen=True)
class Labels:
    """A column of strings with few distinct values: ``values[codes[i]]`` is entry ``i``."""

    codes: NDArray[np.int32]
    values: list[str]

    @classmethod
    def of(cls, strings: Sequence[str]) -> Labels:
        """The column of these strings."""
        encoded = pa.array(strings, pa.string()).dictionary_encode()
        return cls(encoded.indices.to_numpy(), encoded.dictionary.to_pylist())

    @classmethod
    def constant(cls, value: str, length: int) -> Labels:
        """``length`` times the same string."""
        return cls(np.zeros(length, np.int32), [value])

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: int) -> str:
        found: str = self.values[self.codes[index]]
        return found

    def take(self, rows: NDArray[np.intp] | Bools) -> Labels:
        """The entries at ``rows``."""
        return Labels(self.codes[rows], self.values)


@dataclass(frozen=True)
class Units:
    """What calls used that is not billed by token: the entries of call ``i`` stand at
    ``starts[i]:starts[i + 1]``, each name once.

    Attributes:
        starts: one more than there are calls.
        names: of the units, entry by entry.
        micro: counts in millionths, entry by entry: the store keeps six decimal places.
    """

    starts: Ints
    names: Labels
    micro: Ints

    @classmethod
    def of(cls, counts: Sequence[Mapping[str, Decimal] | None]) -> Units:
        """The units of calls, call by call."""
        lengths = np.array([len(units) if units else 0 for units in counts], np.int64)
        entries = [entry for units in counts if units for entry in units.items()]
        micro = [int(count.quantize(_MICRO).scaleb(6)) for _, count in entries]
        return cls(
            np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
            Labels.of([name for name, _ in entries]),
            np.array(micro, np.int64),
        )

    def of_rows(self, rows: NDArray[np.intp]) -> list[tuple[str, Ints]]:
        """Names that occur in the rows, each with its count in every row (in millionths)."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        if not lengths.any():
            return []
        owner = np.repeat(np.arange(len(rows)), lengths)
        first = np.cumsum(lengths) - lengths
        entries = np.arange(int(lengths.sum())) + np.repeat(self.starts[rows] - first, lengths)
        found = []
        for code in np.unique(self.names.codes[entries]).tolist():
            same = self.names.codes[entries] == code
            counts = np.zeros(len(rows), np.int64)
            counts[owner[same]] = self.micro[entries[same]]
            found.append((self.names.values[code], counts))
        return found


@dataclass(frozen=True)
class Calls:
    """Calls to be priced. All columns have the same length.

    Attributes:
        provider: as the source named it; empty where it did not.
        model: as asked for.
        response_model: that answered; empty where unknown.
        pricing_tier: ``standard``, ``batch``, ``priority`` or ``provisioned``.
        timestamp_us: microseconds since 1970 UTC; prices are those of that moment.
        prompt: prompt tokens, cached and cache-write tokens included.
        completion: completion tokens, reasoning tokens included.
        cached: of the prompt, tokens read from the provider's cache; 0 where unknown.
        cache_write: of the prompt, tokens written to the cache; 0 where unknown.
        reasoning: of the completion; 0 where unknown.
        tenant: whose call it is; None: no tenant's own prices are looked for.
        cache_write_1h: of ``cache_write``, tokens that are kept for an hour; None: none of them.
        units: what is not billed by token (images, audio, tool calls); None: nothing.
    """

    provider: Labels
    model: Labels
    response_model: Labels
    pricing_tier: Labels
    timestamp_us: Ints
    prompt: Ints
    completion: Ints
    cached: Ints
    cache_write: Ints
    reasoning: Ints
    tenant: Labels | None = None
    cache_write_1h: Ints | None = None
    units: Units | None = None

    def __len__(self) -> int:
        return len(self.timestamp_us)


@dataclass(frozen=True)
class PricedColumns:
    """What the calls cost, call by call.

    Attributes:
        cost_pico: pico-dollars (1e-12 USD); meaningless where not ``known``.
        known: False where there is no price at all: the cost is unknown, not zero.
        status: ``priced``; ``partial`` where a part of the price is not known (``reason`` says which);
        ``unpriced``. reason: why the status is not ``priced``; empty where it is.
        source: what decided, for example ``genai-prices 0.2.3`` or, with prices beside the list,
        ``genai-prices 0.2.3; override 1a2b3c4d``; empty where unpriced.
        provider: as it is stored (:mod:`assay.pricing.providers`); where the call names none, the one that
            the price list infers from the model; empty where that does not know either.
    """

    cost_pico: Ints
    known: Bools
    status: Labels
    reason: Labels
    source: Labels
    provider: Labels

    def usd(self, index: int) -> Decimal | None:
        """Cost of one call in US dollars."""
        return Decimal(int(self.cost_pico[index])).scaleb(-12) if self.known[index] else None
