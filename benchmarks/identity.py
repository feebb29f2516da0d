"""What it costs to know whether a span is stored already: a block's look-up among a day of 10 million.

Prints one JSON object: milliseconds for the identities of one block (half of them stored), for live spans of
the last minutes and for ones spread over the day, each without and with the responses that the spans tell of
(:mod:`assay.collector.writer.responses`), beside the time that the engine takes to insert as many::

    python -m benchmarks.identity --stored 10000000 --block 20000
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.collector.writer.responses import CLAIMED, Responses
from assay.collector.writer.store import Asked, Store
from assay.settings import Settings
from assay.warehouse.client import connect
from assay.warehouse.migrations import migrate
from benchmarks.rollups import store

_DAY = 86_400
# Every span tells of a response, under the same hash.
_FILL = """
INSERT INTO ingest_identity
SELECT kind, toDateTime({day:UInt32} + intDiv(number * 86400, {stored:UInt64}) AS second, 'UTC')
    - second % 60, sipHash64(number), toDate(toDateTime({day:UInt32}, 'UTC'))
FROM numbers({first:UInt64}, {count:UInt64})
ARRAY JOIN ['span', 'response'] AS kind
"""


def block(
    stored_hashes: NDArray[np.uint64], numbers: NDArray[np.uint64], day: int, stored: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Hashes and minutes of a block: stored ones, and as many that only look alike."""
    seconds = day + (numbers * _DAY // stored).astype(np.int64)
    minutes = (seconds - seconds % 60).astype(np.uint32)
    return (
        np.concatenate([stored_hashes, stored_hashes ^ np.uint64(1)]),
        np.concatenate([minutes, minutes]),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=10_000_000)
    parser.add_argument("--block", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    day = int(time.time()) // _DAY * _DAY - _DAY
    with tempfile.TemporaryDirectory() as folder, store(Path(folder)) as (url, process):
        settings = Settings(clickhouse_url=url)
        migrate(settings)
        with connect(settings) as client:
            took = []
            for first in range(0, options.stored, options.block):
                began = time.perf_counter()
                client.command(
                    _FILL,
                    parameters={
                        "day": day,
                        "stored": options.stored,
                        "first": first,
                        "count": options.block,
                    },
                )
                took.append(time.perf_counter() - began)
            while client.query("SELECT count() FROM system.merges").result_rows[0][0]:
                time.sleep(0.2)
            asked = Store(client)
            rng = np.random.default_rng(1)
            found: dict[str, float] = {}
            for name, low in (("last minutes", max(0, options.stored - 3 * options.block)), ("whole day", 0)):
                milliseconds, with_responses = [], []
                for _ in range(options.runs):
                    numbers = rng.choice(
                        np.arange(low, options.stored, dtype=np.uint64), options.block // 2, replace=False
                    )
                    hashes = np.array(
                        client.query(
                            f"SELECT sipHash64(toUInt64(arrayJoin({numbers.tolist()})))",
                            settings={"max_query_size": 64 << 20},
                        ).result_columns[0],
                        np.uint64,
                    )
                    wanted, minutes = block(hashes, numbers, day, options.stored)
                    began = time.perf_counter()
                    known = asked.known_identities([spans := Asked(["span"], wanted, minutes)])
                    milliseconds.append(1000 * (time.perf_counter() - began))
                    if (count := len(known["span"].hashes)) != len(numbers):
                        raise SystemExit(f"found {count} of {len(numbers)} stored identities")
                    told = Responses(np.arange(len(wanted)), wanted, minutes)
                    began = time.perf_counter()
                    known = asked.known_identities([spans, told.asked])
                    with_responses.append(1000 * (time.perf_counter() - began))
                    if (count := len(known[CLAIMED].hashes)) != len(numbers):
                        raise SystemExit(f"found {count} of {len(numbers)} responses")
                found[name] = round(statistics.median(milliseconds), 1)
                found[f"{name}, with responses"] = round(statistics.median(with_responses), 1)
            (rows, size) = client.query(
                "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active "
                "AND database = currentDatabase() AND table = 'ingest_identity'"
            ).result_rows[0]
        insert_ms = 1000 * statistics.median(took)
        print(
            json.dumps(
                {
                    "stored": rows,
                    "block": options.block,
                    "lookup_ms": found,
                    "insert_ms": round(insert_ms, 1),
                    "lookup_to_insert": round(found["last minutes"] / insert_ms, 2),
                    "bytes_per_identity": round(size / rows, 1),
                    "store_rss_mb": round(process.memory_info().rss / 1e6),
                }
            )
        )


if __name__ == "__main__":
    main()
