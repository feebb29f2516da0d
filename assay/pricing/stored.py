"""Stored calls as columns: what pricing needs of them, and what they were priced at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from assay.pricing.columns import Bools, Calls, Ints, Labels, PricedColumns, Units

KEY: Final = ("tenant_id", "model", "prompt_template_version", "timestamp", "trace_id", "span_id")
_MONEY: Final = pa.decimal128(38, 12)
_SQL: Final = """
SELECT
    tenant_id, model, prompt_template_version, timestamp, trace_id, span_id,
    provider, response_model, pricing_tier, toUnixTimestamp64Micro(timestamp) AS timestamp_us,
    toInt64(prompt_tokens) AS prompt, toInt64(completion_tokens) AS completion,
    toInt64(ifNull(cached_tokens, 0)) AS cached, toInt64(ifNull(cache_write_tokens, 0)) AS cache_write,
    toInt64(ifNull(cache_write_1h_tokens, 0)) AS cache_write_1h,
    toInt64(ifNull(reasoning_tokens, 0)) AS reasoning,
    mapKeys(units) AS unit_names, arrayMap(n -> toInt64(n * 1000000), mapValues(units)) AS unit_micro,
    cost_usd, cost_status, cost_reason, price_source, billed
FROM llm_traces FINAL
WHERE {where}
"""
_READ: Final = {
    "output_format_arrow_low_cardinality_as_dictionary": 1,
    # A row and its correction are of the same month, always.
    "do_not_merge_across_partitions_select_final": 1,
}


@dataclass(frozen=True)
class StoredCalls:
    """Rows of ``llm_traces``, corrections applied."""

    table: pa.Table

    @classmethod
    def read(cls, client: Client, where: str, parameters: dict[str, Any]) -> StoredCalls:
        """The rows that a condition names."""
        found = client.query_arrow(
            _SQL.format(where=where), parameters=parameters, settings=dict(_READ), use_strings=True
        )
        return cls(found.unify_dictionaries().combine_chunks())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def calls(self) -> Calls:
        """As they are priced."""
        return Calls(
            provider=self.labels("provider"),
            model=self.labels("model"),
            response_model=self.labels("response_model"),
            pricing_tier=self.labels("pricing_tier"),
            timestamp_us=self._ints("timestamp_us"),
            prompt=self._ints("prompt"),
            completion=self._ints("completion"),
            cached=self._ints("cached"),
            cache_write=self._ints("cache_write"),
            reasoning=self._ints("reasoning"),
            tenant=self.labels("tenant_id"),
            cache_write_1h=self._ints("cache_write_1h"),
            units=self._units(),
        )

    @property
    def cost(self) -> tuple[Ints, Bools]:
        """What they were priced at, in pico-dollars, and whether they were."""
        column = _one(self.table["cost_usd"].cast(_MONEY))
        known = column.is_valid().to_numpy(zero_copy_only=False)
        if not len(column):
            return np.zeros(0, np.int64), known
        # The low half of each 128-bit whole number of pico-dollars: no call costs nine million dollars.
        halves = np.frombuffer(column.fill_null(0).buffers()[1], np.int64).reshape(-1, 2)
        low = halves[column.offset : column.offset + len(column), 0]
        return low.copy(), known

    @property
    def billed(self) -> Bools:
        """Whether each counts."""
        found: Bools = _one(self.table["billed"]).to_numpy(zero_copy_only=False).astype(np.bool_)
        return found

    def labels(self, name: str) -> Labels:
        """A column of few distinct strings."""
        column = _one(self.table[name])
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        return Labels(
            column.indices.to_numpy(zero_copy_only=False).astype(np.int32), column.dictionary.to_pylist()
        )

    def differs(self, priced: PricedColumns) -> NDArray[np.bool_]:
        """Which rows would have another cost, or word on it. Another source alone is no difference."""
        cost, known = self.cost
        found: NDArray[np.bool_] = (known != priced.known) | (known & (cost != priced.cost_pico))
        found |= _unequal(self.labels("cost_status"), priced.status)
        found |= _unequal(self.labels("cost_reason"), priced.reason)
        return found

    def values(self, priced: PricedColumns, rows: NDArray[np.bool_]) -> pa.Table:
        """Key and new cost columns of the rows, as :func:`assay.warehouse.corrections.replace` takes them."""
        mask = pa.array(rows)
        columns = {name: self.table[name].filter(mask) for name in KEY}
        return pa.table(
            {
                **columns,
                "cost_usd": pico_usd(priced.cost_pico[rows], priced.known[rows]),
                "cost_status": _strings(priced.status, rows),
                "cost_reason": _strings(priced.reason, rows),
                "price_source": _strings(priced.source, rows),
            }
        )

    def _ints(self, name: str) -> Ints:
        found: Ints = _one(self.table[name]).to_numpy(zero_copy_only=False)
        return found

    def _units(self) -> Units | None:
        names = _one(self.table["unit_names"])
        lengths = pc.list_value_length(names).to_numpy(zero_copy_only=False)
        if not lengths.any():
            return None
        flat = names.flatten()
        if not pa.types.is_dictionary(flat.type):
            flat = flat.dictionary_encode()
        return Units(
            np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]),
            Labels(flat.indices.to_numpy(zero_copy_only=False).astype(np.int32), flat.dictionary.to_pylist()),
            _one(self.table["unit_micro"]).flatten().to_numpy(zero_copy_only=False),
        )


def pico_usd(pico: Ints, known: Bools) -> pa.Array:
    """A Nullable(Decimal(38, 12)) column from pico-dollars, without a Decimal object per row."""
    halves = np.empty((len(pico), 2), np.int64)
    halves[:, 0] = pico
    halves[:, 1] = pico >> 63
    valid = pa.array(known, pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(_MONEY, len(pico), [valid, pa.py_buffer(halves)])


def _one(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):
        return combined.chunk(0) if combined.num_chunks else pa.array([], combined.type)
    return combined


def _unequal(stored: Labels, new: Labels) -> NDArray[np.bool_]:
    numbers = {value: number for number, value in enumerate(new.values)}
    same = np.array([numbers.get(value, -1) for value in stored.values], np.int64)
    found: NDArray[np.bool_] = same[stored.codes] != new.codes
    return found


def _strings(column: Labels, rows: NDArray[np.bool_]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(column.codes[rows]), pa.array(column.values, pa.string()))
