"""What a tick of the regression detector costs: seconds at two numbers of series, and how they relate.

Prints one JSON object. A series is a (tenant, model, template) with calls in every minute that a tick looks
at. A tenth of the calls are scored, every series has a baseline, and nothing regresses: a tick reads and
decides::

    python -m benchmarks.detect --series 400 4000 --per-minute 2 --ticks 9
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse import dbt
from assay.warehouse.client import connect
from assay.warehouse.migrations import migrate
from benchmarks.rollups import store
from sensors import regression
from sensors.policy import load

# Longest window and persistence of the shipped policy, and the minute under way.
_MINUTES = 64

_SERIES = """
    concat('org_', toString(number % {series:UInt32} % 40)) AS tenant_id,
    concat('model-', toString(intDiv(number % {series:UInt32}, 40) % 4)) AS model,
    concat('template-', toString(intDiv(number % {series:UInt32}, 160))) AS prompt_template_version"""

# In the order of time, as a writer stores them.
_CALLS = f"""
INSERT INTO llm_traces (
    tenant_id, model, prompt_template_version, timestamp, trace_id, span_id, prompt_tokens, completion_tokens,
    billed, cost_usd, cost_status, status, retention_start
)
SELECT {_SERIES},
    fromUnixTimestamp64Micro({{start:Int64}} + number * {{step:UInt64}}, 'UTC'),
    concat('t', toString(number)), '1', 1000, 200, true,
    toDecimal128(exp(randNormal(-6., 0.4)), 12), 'priced', 'ok', today()
FROM numbers({{first:UInt64}}, {{batch:UInt64}})
"""
_SCORES = f"""
INSERT INTO llm_evaluations (
    tenant_id, model, prompt_template_version, span_timestamp, timestamp, trace_id, span_id, evaluator,
    evaluator_version, score, sampling_rate, retention_start
)
SELECT {_SERIES},
    fromUnixTimestamp64Micro({{start:Int64}} + number * {{step:UInt64}}, 'UTC') AS at, at,
    concat('t', toString(number)), '1', 'judge', 'v1', 0.7 + 0.2 * randUniform(0., 1.), 0.1, today()
FROM numbers({{first:UInt64}}, {{batch:UInt64}}) WHERE cityHash64(number) % 10 = 0
"""
_BASELINES = f"""
INSERT INTO kpi_baselines
SELECT today(), measure, scope, tenant_id,
    if(scope IN ('model', 'series'), model, '') AS m,
    if(scope IN ('template', 'family', 'series'), prompt_template_version, '') AS t,
    if(measure = 'quality', 'judge', '') AS e, if(measure = 'quality', 'v1', '') AS v,
    if(measure = 'quality', 0.8, exp(-6)), if(measure = 'quality', 0.02, 0.0002),
    if(measure = 'quality', 0.06, 0.001), 5000, 200, 7, toDateTime64(now(), 6, 'UTC')
FROM (SELECT {_SERIES} FROM numbers({{series:UInt32}}))
ARRAY JOIN ['tenant', 'model', 'template', 'family', 'series'] AS scope
ARRAY JOIN ['cost', 'quality'] AS measure
GROUP BY measure, scope, tenant_id, m, t, e, v
"""


def fill(client: Client, series: int, per_minute: int, end: datetime) -> None:
    """Calls, scores and baselines of so many series up to ``end``."""
    rows = series * per_minute * _MINUTES
    start = end - timedelta(minutes=_MINUTES)
    step = _MINUTES * 60_000_000 // rows
    # A batch a minute: what a writer leaves behind has parts of all ages.
    batch = series * per_minute
    for first in range(0, rows, batch):
        parameters = {
            "series": series,
            "start": int(start.timestamp() * 1_000_000),
            "step": step,
            "first": first,
            "batch": batch,
        }
        client.command(_CALLS, parameters=parameters)
        client.command(_SCORES, parameters=parameters)
    client.command(_BASELINES, parameters={"series": series})


def measure(settings: Settings, series: int, per_minute: int, ticks: int, target: Path) -> dict[str, float]:
    """Median and slowest seconds of a tick over this many series."""
    migrate(settings)
    dbt.build(settings, target=target)
    policy = load()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    with connect(settings) as client:
        fill(client, series, per_minute, now)
        seconds = []
        for n in range(ticks + 1):
            began = time.perf_counter()
            tick = regression.tick(client, policy, now + timedelta(seconds=n))
            seconds.append(time.perf_counter() - began)
        judged = sum(count for state, count in tick.cost_states.items() if state == "known")
    # The first one reads cold files.
    return {
        "seconds_per_tick": round(statistics.median(seconds[1:]), 4),
        "slowest_s": round(max(seconds[1:]), 4),
        "first_s": round(seconds[0], 4),
        "judged": judged,
        "opened": len(tick.opened),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, nargs=2, default=[400, 4000], metavar=("FEW", "MANY"))
    parser.add_argument("--per-minute", type=int, default=2, help="calls a minute of each series")
    parser.add_argument("--ticks", type=int, default=9)
    options = parser.parse_args()
    found: dict[str, object] = {"calls_per_series_minute": options.per_minute, "minutes": _MINUTES}
    times = []
    with tempfile.TemporaryDirectory() as directory, store(Path(directory) / "store") as (url, _):
        for series in options.series:
            settings = Settings(clickhouse_url=url, clickhouse_database=f"detect_{series}")
            target = Path(directory) / f"dbt_{series}"
            result = measure(settings, series, options.per_minute, options.ticks, target)
            times.append(result["seconds_per_tick"])
            found[f"series_{series}"] = result
    found["ratio"] = round(times[1] / times[0], 2)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
