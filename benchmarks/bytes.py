"""What stored traffic takes on disk: bytes per 1,000 requests of raw tables and rollups, by column.

Prints one JSON object. For each density (requests per series and minute) as many requests go through the real
schema and rollups; every table is then merged to one part a partition, and the engine is asked for sizes::

    python -m benchmarks.bytes --requests 288000 --series 20 --densities 6 60 240

``codecs`` compares the histograms' codec with the engine's default on the same rows: ratios of bytes, and of
the time that writing and reading them takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse import dbt
from assay.warehouse.client import connect
from assay.warehouse.migrations import migrate
from benchmarks.rollups import store

# Bytes per 1,000 requests, without payloads.
AIMS: Final = {"raw": 60_000, "minute": 2_000}
AIMED_DENSITY: Final = 60
RAW: Final = ("llm_traces", "llm_span_index", "ingest_identity", "llm_evaluations")
_BLOCK: Final = 72_000
# As a gateway sends them: uuid4 trace ids and W3C span ids in hexadecimal, sessions of about five calls for
# half of the templates, four thousand users. Tokens are log-normal (prompts with a median of 650, answers of
# 250), latency is the time to the first token and then the answer's length at a speed that varies.
_CALLS: Final = """
INSERT INTO llm_traces (tenant_id, model, prompt_template_version, timestamp, trace_id, span_id,
    response_model, provider, pricing_tier, task_type, session_id, user_id, environment, status, error_type,
    finish_reason, modality, prompt_tokens, completion_tokens, cached_tokens, billed, cost_usd, cost_status,
    price_source, latency_ms, ttft_ms, attributes, source, ingest_id, ingested_at, retention_start)
WITH
    ['claude-sonnet-4-5', 'gpt-5-mini', 'gemini-2.5-flash', 'claude-haiku-4-5'] AS models,
    -- 1e-12 USD for a prompt token; a tenth for a cached one, five times for one of the answer.
    [3000000, 250000, 300000, 1000000] AS prices,
    number % {series:UInt32} AS series,
    1 + series % 4 AS which,
    1 + intDiv(series, 5) % 4 AS task,
    fromUnixTimestamp64Micro({start:Int64} + rand64(1) % 60000000
        + toInt64(intDiv(number, {density:UInt32} * {series:UInt32})) * 60000000, 'UTC') AS at,
    -- The writer stores a block a second.
    toStartOfSecond(at) + INTERVAL 2 SECOND AS stored,
    toInt64(20 + exp(randNormal(6.5, 0.9, 1))) AS prompt,
    toInt64(1 + exp(randNormal(5.5, 0.8, 2))) AS completion,
    if(rand(2) % 10 < 4, toInt64(prompt * (rand(3) % 90) / 100), 0) AS cached,
    80 + exp(randNormal(5.2, 0.5, 3)) AS first_ms,
    (10 * (prompt - cached) + cached + 50 * completion) * intDiv(prices[which], 10) AS cost
SELECT
    concat('org_', toString(series % 5)),
    models[which],
    concat(['rag-answer', 'summarize', 'classify', 'extract'][task], '-v', toString(1 + series % 3)),
    at,
    lower(hex(generateUUIDv4())),
    lower(leftPad(hex(rand64(4)), 16, '0')),
    concat(models[which], '-20250929'),
    ['anthropic', 'openai', 'google', 'anthropic'][which],
    'standard',
    ['question', 'summary', 'label', 'fields'][task],
    if(task > 2, '', toString(reinterpretAsUUID(
        sipHash128(series, intDiv(number, 10 * {series:UInt32}), rand(5) % 2)
    ))),
    concat('user-', toString(rand(6) % 4000)),
    'production',
    if(rand(7) % 200 = 0, 'error', 'ok'),
    if(rand(7) % 200 = 0, 'timeout', ''),
    'stop',
    'text',
    prompt, completion, cached, true,
    toDecimal128(cost, 12) / 1000000000000,
    'priced',
    'genai-prices 2026-11-01',
    round(first_ms + completion * (6 + exp(randNormal(2., 0.5, 4))), 3),
    round(first_ms, 3),
    map('service.name', 'gateway', 'gen_ai.operation.name', 'chat'),
    'otlp',
    concat(toString(toUnixTimestamp(stored)), '000-0'),
    stored,
    toDate(at)
FROM numbers({first:UInt64}, {count:UInt64})
"""
_IDENTITIES: Final = """
INSERT INTO ingest_identity
SELECT 'span', toStartOfMinute(timestamp), xxh3(concat(tenant_id, trace_id, span_id)), retention_start
FROM llm_traces
"""
# One call in ten is judged.
_SCORES: Final = """
INSERT INTO llm_evaluations (tenant_id, model, prompt_template_version, task_type, span_timestamp, timestamp,
    trace_id, span_id, evaluator, evaluator_version, score, verdict, confidence, sampling_rate, source,
    ingest_id, ingested_at, retention_start)
SELECT tenant_id, model, prompt_template_version, task_type, timestamp, timestamp + INTERVAL 5 SECOND,
    trace_id, span_id, 'llm-as-judge', 'v2', round(1 - 0.3 * abs(randNormal(0., 0.5)), 2), 'good', 0.9, 0.1,
    'judge', ingest_id, ingested_at, retention_start
FROM llm_traces
WHERE cityHash64(trace_id) % 10 = 0
"""
_READS: Final = 5


def fill(client: Client, requests: int, series: int, density: int) -> None:
    """So many requests in the order of time, ``density`` to a series and minute."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=7)
    for first in range(0, requests, _BLOCK):
        parameters = {
            "series": series,
            "density": density,
            "start": int(start.timestamp() * 1e6),
            "first": first,
            "count": min(_BLOCK, requests - first),
        }
        client.command(_CALLS, parameters=parameters)
    client.command(_IDENTITIES)
    client.command(_SCORES)


def merge(client: Client) -> None:
    """One part a partition, as a month is once it is over."""
    for (table,) in client.query(_TABLES).result_rows:
        client.command(f"OPTIMIZE TABLE `{table}` FINAL", settings={"mutations_sync": 2})


def sizes(client: Client, requests: int) -> dict[str, dict[str, Any]]:
    """By table: rows, bytes of its parts per 1,000 requests, and of these what its columns take.

    What columns leave of the whole is indexes and marks.
    """
    columns: dict[str, dict[str, float]] = {}
    for table, column, size in client.query(
        "SELECT table, column, sum(column_bytes_on_disk) AS size FROM system.parts_columns "
        "WHERE active AND database = currentDatabase() GROUP BY table, column ORDER BY table, size DESC"
    ).result_rows:
        columns.setdefault(table, {})[column] = _per_1000(size, requests)
    return {
        table: {
            "rows": rows,
            "bytes_per_1000_requests": _per_1000(size, requests),
            "columns": {name: value for name, value in columns[table].items() if value},
        }
        for table, rows, size in client.query(
            "SELECT table, sum(rows), sum(bytes_on_disk) AS size FROM system.parts "
            "WHERE active AND database = currentDatabase() AND rows > 0 GROUP BY table ORDER BY size DESC"
        ).result_rows
        if table.startswith("llm_") or table in RAW
    }


def compare_codecs(client: Client) -> dict[str, Any]:
    """The minute rollup's rows under the rollup's codec, beside the same under the engine's default."""
    found = {}
    for codec in ("default", "ours"):
        name = "codec_copy"
        client.command(f"DROP TABLE IF EXISTS {name} SYNC")
        client.command(f"CREATE TABLE {name} AS llm_kpi_1min")
        histograms = [
            column
            for (column,) in client.query(
                "SELECT name FROM system.columns WHERE database = currentDatabase() "
                "AND table = {name:String} AND endsWith(name, '_histogram')",
                parameters={"name": name},
            ).result_rows
        ]
        if codec == "default":
            for column in histograms:
                client.command(f"ALTER TABLE {name} MODIFY COLUMN {column} CODEC(Default)")
        written, read = [], []
        for _ in range(_READS):
            client.command(f"TRUNCATE TABLE {name}")
            written.append(_seconds(client, f"INSERT INTO {name} SELECT * FROM llm_kpi_1min"))
        client.command(f"OPTIMIZE TABLE {name} FINAL")
        sums = ", ".join(f"sumMap({column})" for column in histograms)
        for _ in range(_READS):
            read.append(_seconds(client, f"SELECT model, {sums} FROM {name} GROUP BY model FORMAT Null"))
        (size,) = client.query(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() "
            "AND table = {name:String}",
            parameters={"name": name},
        ).first_row
        found[codec] = (size, min(written), min(read))
        client.command(f"DROP TABLE {name} SYNC")
    ratios = [round(ours / default, 3) for default, ours in zip(*found.values(), strict=True)]
    return dict(zip(("bytes_ratio", "write_time_ratio", "read_time_ratio"), ratios, strict=True))


_TABLES: Final = (
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' "
    "AND total_rows > 0"
)


def _seconds(client: Client, sql: str) -> float:
    began = time.perf_counter()
    client.command(sql, settings={"max_threads": 1})
    return time.perf_counter() - began


def _per_1000(size: int, requests: int) -> int:
    return round(1000 * size / requests)


def _summary(tables: dict[str, dict[str, Any]]) -> dict[str, int]:
    def total(chosen: Sequence[str]) -> int:
        return sum(tables[name]["bytes_per_1000_requests"] for name in chosen if name in tables)

    return {
        "llm_traces": total(["llm_traces"]),
        "raw": total(RAW),
        "minute": total(["llm_kpi_1min"]),
        "hour": total(["llm_kpi_1h"]),
        "day": total(["llm_kpi_1d"]),
        "all_rollups": total([name for name in tables if name not in RAW]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=288_000, help="of each density")
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--densities", type=int, nargs="+", default=[6, AIMED_DENSITY, 240])
    args = parser.parse_args()
    densities = {}
    codecs = {}
    with tempfile.TemporaryDirectory() as folder, store(Path(folder) / "store") as (url, _):
        settings = Settings(clickhouse_url=url, clickhouse_database="bytes", data_dir=Path(folder))
        migrate(settings)
        dbt.build(settings)
        with connect(settings) as client:
            for density in args.densities:
                sys.stderr.write(f"{density} requests per series and minute …\n")
                for (table,) in client.query(_TABLES).result_rows:
                    client.command(f"TRUNCATE TABLE `{table}`")
                fill(client, args.requests, args.series, density)
                merge(client)
                tables = sizes(client, args.requests)
                densities[density] = {"bytes_per_1000_requests": _summary(tables), "tables": tables}
                codecs[density] = compare_codecs(client)
    result = {
        "requests": args.requests,
        "series": args.series,
        "aims": {**AIMS, "at_density": AIMED_DENSITY},
        "densities": densities,
        "codecs": codecs,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
