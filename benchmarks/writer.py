"""Spans per second through the writer's process, beside the engine's own insert speed into the same tables.

``python benchmarks/writer.py [--spans N] [--batch N]`` starts an embedded ClickHouse and a Valkey of its own,
fills the queue, and lets one writer process store it: decoding, pricing, identity check, rollups. In the same
run the same rows go into the same tables once more, as ready-made Arrow blocks of the same size: what the
engine takes by itself. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from datetime import UTC, datetime, timedelta

import psutil
import pyarrow as pa
import redis
from clickhouse_connect.driver.client import Client

from assay.collector.envelope import Envelope
from assay.collector.queue import STREAM, publish
from assay.collector.writer.arrow import stream
from assay.contracts.records import Span, Tokens
from assay.warehouse.client import connect
from benchmarks._stack import Stack, stack
from tests.support.processes import wait_for

MODELS = ["claude-sonnet-4-5", "claude-haiku-4-5", "gpt-4o", "gpt-4o-mini", "gemini-2.5-flash"]
BLOCK_ROWS = 20_000


def spans(count: int, seed: int) -> list[Span]:
    """Live traffic of twelve minutes: 20 tenants, 5 models, 8 templates."""
    rng = random.Random(seed)
    now = datetime.now(UTC)
    return [
        Span(
            trace_id=f"{rng.getrandbits(128):032x}",
            span_id=f"{rng.getrandbits(64):016x}",
            timestamp=now - timedelta(seconds=720 * (count - i) / count),
            model=rng.choice(MODELS),
            tokens=Tokens(
                prompt=(prompt := rng.randrange(200, 8_000)),
                completion=rng.randrange(10, 900),
                cached=rng.randrange(prompt) if rng.random() < 0.5 else None,
            ),
            tenant_id=f"org_{rng.randrange(20)}",
            prompt_template_version=f"template-v{rng.randrange(8)}",
            task_type=rng.choice(["chat", "rag", "summary"]),
            latency_ms=rng.uniform(300, 9_000),
            ttft_ms=rng.uniform(50, 300),
            session_id=f"s{rng.randrange(5_000)}",
            status="ok",
            environment="production",
            attributes={"region": "eu-west-1"},
        )
        for i in range(count)
    ]


def engine_alone(client: Client, count: int) -> float:
    """Rows per second that the engine takes into the same tables and rollups, as ready-made blocks."""
    table = client.query_arrow(f"SELECT * FROM llm_traces LIMIT {count}")
    blocks = [table.slice(start, BLOCK_ROWS) for start in range(0, count, BLOCK_ROWS)]
    bodies = [stream(pa.Table.from_batches(block.to_batches())) for block in blocks]
    began = time.perf_counter()
    for number, body in enumerate(bodies):
        client.raw_insert(
            "llm_traces",
            table.column_names,
            body,
            fmt="ArrowStream",
            settings={"insert_deduplication_token": f"alone-{number}", "async_insert": 0},
        )
    return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=400_000)
    parser.add_argument("--batch", type=int, default=500, help="spans per queue entry")
    args = parser.parse_args()
    with stack() as services:
        print(json.dumps(measure(services, args.spans, args.batch), indent=2))


def measure(services: Stack, count: int, batch: int) -> dict[str, object]:
    """Fill the queue, let a writer empty it, then the same rows without a writer."""
    queue = services.queue
    warm = spans(BLOCK_ROWS, 1)
    made = spans(count, 2)
    with services.writer() as server, connect(services.settings) as client:
        process = psutil.Process(server.process.pid)
        _publish(queue, warm, batch)
        wait_for(lambda: queue.xlen(STREAM) == 0, "warm-up", 60)
        process.suspend()
        _publish(queue, made, batch)
        cpu = process.cpu_times()
        began = time.perf_counter()
        process.resume()
        wait_for(lambda: queue.xlen(STREAM) == 0, "the queue to be empty", 600)
        elapsed = time.perf_counter() - began
        used = process.cpu_times()
        stored = client.query("SELECT sum(sign) FROM llm_traces").result_rows[0][0]
        counted = client.query("SELECT sum(request_count) FROM llm_kpi_1min").result_rows[0][0]
        memory = process.memory_info().rss
        latency = _latency(queue, client)
    with connect(services.settings) as client:
        alone = engine_alone(client, count)
    through = count / elapsed
    return {
        "spans": count,
        "spans_per_entry": batch,
        "spans_per_s": round(through),
        "engine_alone_rows_per_s": round(alone),
        "ratio_to_engine": round(through / alone, 3),
        "writer_cpu_s_per_100k": round((used.user + used.system - cpu.user - cpu.system) / count * 1e5, 2),
        "writer_rss_mb": memory >> 20,
        "exact": stored == counted == count + len(warm),
        "queue_to_rollup_ms": latency,
    }


def _latency(queue: redis.Redis, client: Client, rounds: int = 20) -> dict[str, int]:
    """Milliseconds from XADD to a row in the one-minute rollup, one span at a time."""
    found = []
    for number in range(rounds):
        (span,) = spans(1, 1_000 + number)
        span.tenant_id = f"latency-{number}"
        began = time.perf_counter()
        publish(queue, Envelope.of("span", "simulator", [span]))
        query = f"SELECT count() FROM llm_kpi_1min WHERE tenant_id = 'latency-{number}'"
        while not client.query(query).result_rows[0][0]:
            time.sleep(0.005)
        found.append((time.perf_counter() - began) * 1000)
    found.sort()
    return {"p50": round(found[rounds // 2]), "max": round(found[-1])}


def _publish(queue: redis.Redis, made: list[Span], batch: int) -> None:
    for start in range(0, len(made), batch):
        publish(queue, Envelope.of("span", "simulator", made[start : start + batch]))


if __name__ == "__main__":
    main()
