"""How long the screens' queries take on a month of busy traffic, while more arrives.

Prints one JSON object: milliseconds per query (p50, p95, p99) over the exact SQL that the overview page
sends, for the last hour and 30 days, one tenant and all::

    python -m benchmarks.query --spans 10000000 --series 4000 --runs 200
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from assay.dashboard.overview import kpis, queries, rounds
from assay.dashboard.overview.queries import View
from assay.dashboard.overview.selection import Selection
from assay.dashboard.store import Query, Store
from assay.settings import Settings
from assay.warehouse import dbt
from assay.warehouse.client import connect
from assay.warehouse.migrations import migrate
from benchmarks.rollups import store

DAYS = 30
READERS = 4
_BATCH = 500_000

# Calls of the month in the order of time, spread over the series as traffic is: a few make most of it (the
# square of an even number), 40 tenants, 10 models, 10 templates. One in ten is judged.
_SERIES = """
    toUInt32(pow(cityHash64(number) % 1000003 / 1000003, 2) * {series:UInt32}) AS series,
    concat('org_', toString(series % 40)) AS tenant_id,
    concat('model-', toString(intDiv(series, 40) % 10)) AS model,
    concat('template-', toString(intDiv(series, 400))) AS prompt_template_version,
    fromUnixTimestamp64Micro({start:Int64} + number * {step:Int64}, 'UTC') AS at
"""
_CALLS = f"""
INSERT INTO llm_traces (tenant_id, model, prompt_template_version, timestamp, trace_id, span_id, pricing_tier,
    status, prompt_tokens, completion_tokens, cached_tokens, billed, cost_usd, cost_status, latency_ms,
    ttft_ms, source, retention_start)
SELECT tenant_id, model, prompt_template_version, at, toString(number), 'call', 'standard', 'ok',
    toUInt32(100 + cityHash64(number) % 4000), toUInt32(1 + cityHash64(number, 1) % 800),
    toUInt32(cityHash64(number, 2) % 100), true, toDecimal128(exp(randNormal(-6., 1.)), 12), 'priced',
    200 + exp(randNormal(6., 0.7)), 100., 'native', toDate(at)
FROM (SELECT number, {_SERIES} FROM numbers({{first:UInt64}}, {{batch:UInt64}}))
"""
_SCORES = f"""
INSERT INTO llm_evaluations (tenant_id, model, prompt_template_version, span_timestamp, timestamp, trace_id,
    span_id, evaluator, evaluator_version, score, sampling_rate, retention_start)
SELECT tenant_id, model, prompt_template_version, at, at, toString(number), 'call', 'llm-as-judge', 'v1',
    round(rand() / 4294967295, 2), 0.1, toDate(at)
FROM (SELECT number, {_SERIES} FROM numbers({{first:UInt64}}, {{batch:UInt64}}) WHERE number % 10 = 0)
"""


def fill(settings: Settings, spans: int, series: int, end: datetime) -> None:
    """A month of calls up to ``end``, with scores of a tenth of them."""
    start = end - timedelta(days=DAYS)
    step = int(timedelta(days=DAYS).total_seconds() * 1e6) // spans
    with connect(settings) as client:
        for first in range(0, spans, _BATCH):
            parameters = {
                "series": series,
                "start": int(start.timestamp() * 1e6),
                "step": step,
                "first": first,
                "batch": min(_BATCH, spans - first),
            }
            client.command(_CALLS, parameters=parameters)
            client.command(_SCORES, parameters=parameters)
            sys.stderr.write(f"\r{first + parameters['batch']:,} of {spans:,} calls")
        # A month that came in over a month has parts that were merged as they came to age.
        for (table,) in client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() "
            "AND engine_full LIKE '%min_age_to_force_merge_seconds%' ORDER BY name"
        ).result_rows:
            sys.stderr.write(f"\rmerging {table:30}")
            client.command(f"OPTIMIZE TABLE {table} FINAL")
        while client.query("SELECT count() FROM system.merges").result_rows[0][0]:
            time.sleep(0.5)
    sys.stderr.write("\n")


@contextmanager
def arriving(settings: Settings, rate: int, series: int) -> Iterator[None]:
    """``rate`` calls a second go into the store until the block ends."""
    stop = threading.Event()

    def send() -> None:
        with connect(settings) as client:
            number = 1 << 40
            while not stop.wait(1):
                now = int(datetime.now(UTC).timestamp() * 1e6)
                client.command(
                    _CALLS,
                    parameters={
                        "series": series,
                        # The numbers begin far above those of the month; their times are of this second.
                        "start": now - number * (1_000_000 // rate),
                        "step": 1_000_000 // rate,
                        "first": number,
                        "batch": rate,
                    },
                )
                number += rate

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def asked(settings: Settings, view: View) -> dict[str, Query]:
    """The queries of both rounds of a refresh, by name."""
    store = Store(settings)
    try:
        found = asyncio.run(store.frames(queries.first(view)))
    finally:
        store.close()
    evaluator = kpis.most_used(found["quality_totals"])
    second = queries.second(view, rounds.named(found), rounds.listed(found), evaluator)
    return {**queries.first(view), **second}


def measure(settings: Settings, view: View, runs: int) -> dict[str, dict[str, float]]:
    """Milliseconds of every query of a refresh, each sent ``runs`` times by four readers at once."""
    local = threading.local()

    def ask(query: Query) -> float:
        if not hasattr(local, "client"):
            local.client = connect(settings)
        began = time.perf_counter()
        # As the page reads it.
        local.client.query_arrow(query.sql, parameters=dict(query.parameters)).to_pandas()
        return 1000 * (time.perf_counter() - began)

    found = {}
    with ThreadPoolExecutor(READERS) as pool:
        for name, query in asked(settings, view).items():
            list(pool.map(ask, [query] * READERS))
            took = list(pool.map(ask, [query] * runs))
            found[name] = {f"p{p}_ms": round(float(np.percentile(took, p)), 1) for p in (50, 95, 99)}
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=10_000_000)
    parser.add_argument("--series", type=int, default=4000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--arriving", type=int, default=1000, help="calls a second during the reads")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, store(Path(folder) / "store") as (url, process):
        settings = Settings(clickhouse_url=url)
        migrate(settings)
        dbt.build(settings, target=Path(folder) / "dbt")
        now = datetime.now(UTC)
        began = time.perf_counter()
        fill(settings, options.spans, options.series, now)
        filled_s = time.perf_counter() - began
        one = ("org_0",)
        views = {
            "last hour, one tenant": Selection(range="1h", tenants=one),
            "last hour, all tenants": Selection(range="1h"),
            "30 days, one tenant": Selection(range="30d", tenants=one),
            "30 days, all tenants": Selection(range="30d"),
        }
        found = {}
        with arriving(settings, options.arriving, options.series):
            for name, selection in views.items():
                at = datetime.now(UTC)
                by_query = measure(settings, View(selection, selection.window(at)), options.runs)
                slowest = max(by_query, key=lambda query: by_query[query]["p95_ms"])
                found[name] = {"slowest": slowest, **by_query[slowest], "queries": by_query}
                sys.stderr.write(f"{name}: {slowest} p95 {by_query[slowest]['p95_ms']} ms\n")
        with connect(settings) as client:
            sizes = client.query(
                "SELECT table, sum(rows), sum(data_compressed_bytes) FROM system.parts WHERE active "
                "AND database = currentDatabase() AND (table LIKE 'llm_kpi%' OR table = 'llm_traces') "
                "GROUP BY table ORDER BY table"
            ).result_rows
        print(
            json.dumps(
                {
                    "spans": options.spans,
                    "series": options.series,
                    "runs": options.runs,
                    "readers": READERS,
                    "arriving_per_s": options.arriving,
                    "filled_rows_per_s": round(options.spans / filled_s),
                    "bytes_per_1000_requests": {
                        table: round(1000 * size / options.spans) for table, _, size in sizes
                    },
                    "rollup_rows": {table: rows for table, rows, _ in sizes},
                    "store_rss_mb": round(process.memory_info().rss / 1e6),
                    "views": found,
                }
            )
        )


if __name__ == "__main__":
    main()
