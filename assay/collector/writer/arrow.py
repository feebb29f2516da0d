"""Arrow arrays as the store's columns want them, built once per block."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assay.pricing.columns import Bools, Ints, Labels

MOMENT: Final = pa.timestamp("us", tz="UTC")
MONEY: Final = pa.decimal128(38, 12)
_UNIT_COUNT: Final = pa.decimal128(18, 6)
_MONEY_PLACES: Final = Decimal("1e-12")
_UNIT_PLACES: Final = Decimal("1e-6")


def labels(values: Sequence[str]) -> pa.Array:
    """A LowCardinality(String) column: each distinct value travels once."""
    return pa.array(values, pa.string()).dictionary_encode()


def coded(column: Labels) -> pa.Array:
    """The same from a column that has its codes already."""
    return pa.DictionaryArray.from_arrays(pa.array(column.codes), pa.array(column.values, pa.string()))


def strings(values: Sequence[str]) -> pa.Array:
    """A String column."""
    return pa.array(values, pa.string())


def moments(timestamp_us: Ints) -> pa.Array:
    """A DateTime64(6) column."""
    return pa.array(timestamp_us, pa.int64()).cast(MOMENT)


def microseconds(values: Sequence[datetime]) -> Ints:
    """Microseconds since 1970 UTC, exactly."""
    found: Ints = pa.array(values, MOMENT).cast(pa.int64()).to_numpy()
    return found


def days(timestamp_us: Ints) -> pa.Array:
    """A Date column: the UTC day of each moment."""
    return pa.array((timestamp_us // 86_400_000_000).astype(np.int32), pa.date32())


def pico_usd(pico: Ints, known: Bools) -> pa.Array:
    """A Nullable(Decimal(38, 12)) column from pico-dollars, without a Decimal object per row."""
    halves = np.empty((len(pico), 2), np.int64)
    halves[:, 0] = pico
    halves[:, 1] = pico >> 63
    valid = pa.array(known, pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(MONEY, len(pico), [valid, pa.py_buffer(halves)])


def money(values: Sequence[Decimal | None]) -> pa.Array:
    """A Nullable(Decimal(38, 12)) column."""
    return pa.array([None if v is None else v.quantize(_MONEY_PLACES) for v in values], MONEY)


def units(values: Sequence[dict[str, Decimal] | None]) -> pa.Array:
    """A Map(String, Decimal(18, 6)) column."""
    kind = pa.map_(pa.string(), _UNIT_COUNT)
    return pa.array(
        [[(k, n.quantize(_UNIT_PLACES)) for k, n in value.items()] if value else [] for value in values], kind
    )


def attributes(values: Sequence[dict[str, str] | None]) -> pa.Array:
    """A Map(String, String) column."""
    kind = pa.map_(pa.string(), pa.string())
    return pa.array([list(value.items()) if value else [] for value in values], kind)


def counts(values: Sequence[int | None]) -> pa.Array:
    """A (Nullable) UInt32 column."""
    return pa.array(values, pa.uint32())


def floats(values: Sequence[float | None]) -> pa.Array:
    """A (Nullable) Float64 column."""
    return pa.array(values, pa.float64())


def stream(table: pa.Table) -> bytes:
    """The table as one Arrow record batch: one block of the store, whatever its size."""
    sink = pa.BufferOutputStream()
    table = table.combine_chunks()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def column(table: pa.Table, name: str) -> NDArray[Any]:
    """A column without NULLs as numpy."""
    found: NDArray[Any] = table[name].to_numpy()
    return found
