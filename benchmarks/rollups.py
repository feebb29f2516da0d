"""What the rollups cost on insert: rows a second into ``llm_traces`` without and with them.

Prints one JSON object. The rows are made beforehand, so that the time is the store's alone::

    python -m benchmarks.rollups --rows 400000 --batch 10000 --series 400
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from assay.settings import Settings
from assay.warehouse import dbt
from assay.warehouse.migrations import migrate

# One day of calls in log-normal cost and latency, spread evenly over the series and in the order of time.
_ROWS = """
SELECT
    concat('org_', toString(number % {series:UInt32} % 20)) AS tenant_id,
    concat('model-', toString(intDiv(number % {series:UInt32}, 20) % 4)) AS model,
    concat('template-', toString(intDiv(number % {series:UInt32}, 80))) AS prompt_template_version,
    toDateTime64(today() - 1, 6, 'UTC') + toIntervalMicrosecond(number * intDiv(86400000000, {rows:UInt64}))
        AS timestamp,
    concat('trace-', toString(number)) AS trace_id,
    'call' AS span_id,
    'standard' AS pricing_tier,
    'ok' AS status,
    toUInt32(100 + cityHash64(number) % 4000) AS prompt_tokens,
    toUInt32(1 + cityHash64(number, 1) % 800) AS completion_tokens,
    toNullable(toUInt32(cityHash64(number, 2) % 100)) AS cached_tokens,
    true AS billed,
    toNullable(toDecimal128(exp(randNormal(-6., 1.)), 12)) AS cost_usd,
    'priced' AS cost_status,
    toNullable(200 + exp(randNormal(6., 0.7))) AS latency_ms,
    toNullable(toFloat64(50 + cityHash64(number, 3) % 150)) AS ttft_ms,
    'native' AS source,
    today() AS retention_start
FROM numbers({first:UInt64}, {batch:UInt64})
FORMAT Native
"""
_COLUMNS = (
    "tenant_id, model, prompt_template_version, timestamp, trace_id, span_id, pricing_tier, status, "
    "prompt_tokens, completion_tokens, cached_tokens, billed, cost_usd, cost_status, latency_ms, ttft_ms, "
    "source, retention_start"
)


@contextmanager
def store(directory: Path) -> Iterator[tuple[str, psutil.Process]]:
    """URL and process of an embedded store of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "assay.warehouse.embedded", "--data-dir", str(directory), "--port", str(port)]
    )
    try:
        for _ in range(300):
            try:
                httpx.get(f"{url}/ping", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def blocks(url: str, rows: int, batch: int, series: int) -> list[bytes]:
    """The rows in Native format, ``batch`` to a block."""
    found = []
    for first in range(0, rows, batch):
        parameters = {"rows": rows, "batch": batch, "series": series, "first": first}
        answer = httpx.post(
            url, params={f"param_{k}": v for k, v in parameters.items()}, content=_ROWS, timeout=60
        )
        answer.raise_for_status()
        found.append(answer.content)
    return found


def insert(url: str, database: str, batches: list[bytes], senders: int) -> None:
    """Insert all batches from ``senders`` connections at once."""

    def send(batch: bytes) -> None:
        client.post(
            url,
            params={
                "database": database,
                "query": f"INSERT INTO llm_traces ({_COLUMNS}) FORMAT Native",
                "insert_deduplication_token": uuid.uuid4().hex,
                "deduplicate_blocks_in_dependent_materialized_views": "1",
            },
            content=batch,
        ).raise_for_status()

    with httpx.Client(timeout=120, trust_env=False) as client, ThreadPoolExecutor(senders) as pool:
        list(pool.map(send, batches))


def measure(
    url: str, process: psutil.Process, database: str, rows: int, batches: list[bytes], senders: int
) -> dict[str, float]:
    """Rows a second, and the store's CPU time per row (with the merges that the inserts set off)."""
    used = sum(process.cpu_times()[:2])
    began = time.perf_counter()
    insert(url, database, batches, senders)
    elapsed = time.perf_counter() - began
    # Merges go on after the last insert; a row has cost what it costs until they are done.
    while not _merged(url, database):
        time.sleep(0.2)
    spent = sum(process.cpu_times()[:2]) - used
    return {"rows_per_s": round(rows / elapsed), "cpu_us_per_row": round(1e6 * spent / rows, 2)}


def _merged(url: str, database: str) -> bool:
    answer = httpx.post(url, content=f"SELECT count() FROM system.merges WHERE database = '{database}'")
    return answer.raise_for_status().text.strip() == "0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--series", type=int, default=400)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, store(Path(folder) / "store") as (url, process):
        batches = blocks(url, args.rows, args.batch, args.series)
        figures: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
        for number in range(args.rounds):
            for kind, found in figures.items():
                settings = Settings(
                    clickhouse_url=url, clickhouse_database=f"{kind}_{number}", data_dir=Path(folder)
                )
                migrate(settings)
                if kind == "with":
                    dbt.build(settings)
                found.append(
                    measure(url, process, settings.clickhouse_database, args.rows, batches, args.senders)
                )
    best = {kind: max(found, key=lambda f: f["rows_per_s"]) for kind, found in figures.items()}
    least = {kind: min(f["cpu_us_per_row"] for f in found) for kind, found in figures.items()}
    result = {
        "rows": args.rows,
        "rows_per_batch": args.batch,
        "series": args.series,
        "senders": args.senders,
        "without_rollups_rows_per_s": best["without"]["rows_per_s"],
        "with_rollups_rows_per_s": best["with"]["rows_per_s"],
        "throughput_ratio": round(best["with"]["rows_per_s"] / best["without"]["rows_per_s"], 3),
        "without_rollups_cpu_us_per_row": least["without"],
        "with_rollups_cpu_us_per_row": least["with"],
        "rounds": figures,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
