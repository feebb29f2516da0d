"""The columns that pricing takes and gives: one entry per call, no Python object per call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Money in vectorised code is a whole number of pico-dollars: the last place of Decimal(38, 12).
PICO_PER_USD = 10**12


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
class Calls:
    """Calls to be priced. All columns have the same length.

    Attributes:
        provider: as the source named it; empty where it did not.
        model: as asked for.
        response_model: that answered; empty where unknown.
        pricing_tier: ``standard``, ``batch`` or ``priority``.
        timestamp_us: microseconds since 1970 UTC; prices are those of that moment.
        prompt: prompt tokens, cached and cache-write tokens included.
        completion: completion tokens, reasoning tokens included.
        cached: of the prompt, tokens read from the provider's cache; 0 where unknown.
        cache_write: of the prompt, tokens written to the cache; 0 where unknown.
        reasoning: of the completion; 0 where unknown.
        has_units: whether something was used that is not billed by token (images, audio, tool calls).
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
    has_units: Bools

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
        source: of the rates, for example ``genai-prices 0.2.3``; empty where unpriced.
        provider: as given; where empty, as the price list infers it from the model; empty where neither
            knows.
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
