"""How long the hourly build of the second screen's mart takes over a month of calls, and its queries.

Prints one JSON object: seconds of the build (dbt's start apart), its rows, and milliseconds per query (p50,
p95) over the exact SQL that the page sends::

    python -m benchmarks.efficiency --spans 2000000 --series 4000 --runs 50
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from assay.dashboard.efficiency import queries
from assay.dashboard.efficiency.selection import Selection, Template
from assay.settings import Settings
from assay.warehouse import dbt
from assay.warehouse.client import connect
from assay.warehouse.migrations import migrate
from benchmarks.query import fill
from benchmarks.rollups import store

_MART = "efficiency_daily"
# What the month of `benchmarks.query` lacks: ten calls a session, why answers ended, and what became of them.
_SESSIONS = """
ALTER TABLE llm_traces UPDATE session_id = toString(intDiv(toUInt64(trace_id), 10)), finish_reason = 'stop'
WHERE true SETTINGS mutations_sync = 2
"""
_OUTCOMES = """
INSERT INTO business_outcomes (trace_id, event, timestamp, retention_start)
SELECT trace_id, if(cityHash64(trace_id) % 40 = 0, 'conversion', 'escalation'), timestamp, toDate(timestamp)
FROM llm_traces WHERE cityHash64(trace_id) % 20 = 0
"""


def measure(settings: Settings, selection: Selection, runs: int) -> dict[str, dict[str, float]]:
    """Milliseconds of every query of a refresh, one after another."""
    days = selection.days(datetime.now(UTC))
    of = Template("org_0", "template-0")
    asked = {**queries.first(selection, days), "by_day": queries.by_day(selection, days, of)}
    found = {}
    with connect(settings) as client:
        for name, query in asked.items():
            took = []
            for _ in range(runs):
                began = time.perf_counter()
                client.query_arrow(query.sql, parameters=dict(query.parameters)).to_pandas()
                took.append(1000 * (time.perf_counter() - began))
            found[name] = {f"p{p}_ms": round(float(np.percentile(took, p)), 1) for p in (50, 95)}
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=2_000_000)
    parser.add_argument("--series", type=int, default=4000)
    parser.add_argument("--runs", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, store(Path(folder) / "store") as (url, process):
        settings = Settings(clickhouse_url=url)
        migrate(settings)
        dbt.build(settings, target=Path(folder) / "dbt")
        fill(settings, options.spans, options.series, datetime.now(UTC))
        with connect(settings) as client:
            client.command(_SESSIONS)
            client.command(_OUTCOMES)
        sys.stderr.write("building\n")
        began = time.perf_counter()
        dbt.run_dbt(settings, "run", "--select", _MART, target=Path(folder) / "dbt")
        took_s = time.perf_counter() - began
        results = json.loads((Path(folder) / "dbt" / "target" / "run_results.json").read_text())
        with connect(settings) as client:
            ((rows,),) = client.query(f"SELECT count() FROM {_MART}").result_rows
        print(
            json.dumps(
                {
                    "spans": options.spans,
                    "series": options.series,
                    "build_s": round(results["results"][0]["execution_time"], 1),
                    "with_the_start_of_dbt_s": round(took_s, 1),
                    "rows": rows,
                    "store_rss_mb": round(process.memory_info().rss / 1e6),
                    "queries": measure(settings, Selection(), options.runs),
                }
            )
        )


if __name__ == "__main__":
    main()
