"""Results of many pieces are one result in every format, whether the engine streams it or not."""

from __future__ import annotations

import io
import json

import httpx
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.support.stores import ClickHouse

ROWS = 200_000  # The engine makes pieces of about 65,000 rows.


def _lines(content: bytes) -> int:
    return content.count(b"\n")


COUNTS = {
    "JSON": lambda content: json.loads(content)["rows"],
    "JSONCompact": lambda content: len(json.loads(content)["data"]),
    "JSONEachRow": _lines,
    "TabSeparated": _lines,
    "CSV": _lines,
    "CSVWithNames": lambda content: _lines(content) - 1,
    "RowBinary": lambda content: len(content) // 8,
    "Arrow": lambda content: pa.ipc.open_file(content).read_all().num_rows,
    "ArrowStream": lambda content: pa.ipc.open_stream(content).read_all().num_rows,
    "Parquet": lambda content: pa.parquet.read_table(io.BytesIO(content)).num_rows,
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_row_once(clickhouse: ClickHouse, name: str) -> None:
    answer = httpx.post(
        clickhouse.url,
        content=f"SELECT number FROM numbers({ROWS}) FORMAT {name}",
        trust_env=False,
        timeout=60,
    )
    assert answer.status_code == 200
    assert COUNTS[name](answer.content) == ROWS
