"""How fast spans come in, what an acknowledgement and a row on the screen take, and what all of it occupies.

``python -m benchmarks.ingest`` (or ``assay bench ingest``) starts an embedded ClickHouse, a Valkey, a
collector and a writer as ``assay up`` does. In one run it measures, with identity checks on:

* acknowledgements at 1,000 spans/s, each from the moment at which it was due to be sent;
* the time from a call to the query of the overview screen that shows it, at 500 spans/s;
* spans per second from the first byte sent to the last row visible in ``llm_kpi_1min``, four senders with
  batches of 500, as native JSON and as OTLP protobuf;
* the engine's own speed with the same rows into the same tables and views;
* bytes on disk per span, resident memory per process, and microseconds of processor time that each process
  spends on a span, which tell the rate that a quiet machine would reach.

Senders run on the same machine. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import redis
from clickhouse_connect.driver.client import Client

from assay.collector.queue import STREAM
from assay.dashboard.overview import queries
from assay.dashboard.overview.selection import Selection
from assay.settings import Settings
from assay.warehouse.client import connect
from benchmarks._bodies import PATHS, Protocol, Template
from benchmarks.writer import engine_alone
from tests.support.pipeline import Pipeline, running_pipeline

_TEMPLATES = 16
_ENGINE_ROWS = 400_000
# Small batches, as exporters of many small services send them: more answers to measure.
_PACED_BATCH = 50
# The collector takes spans faster than they can be stored: what waits is bounded, so that the last row is
# visible soon after the last byte was sent.
_MOST_QUEUED = 200
_PATIENCE_S = 300


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of sending at full speed, per protocol")
    parser.add_argument("--paced-seconds", type=float, default=30, help="of sending at a fixed rate")
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--batch", type=int, default=500, help="spans per request at full speed")
    parser.add_argument("--only", choices=("acknowledgement", "token_to_row", *PATHS), help="one part alone")
    parser.add_argument("--durability", choices=("process", "power"), default="process")
    parser.add_argument("--dir", type=Path, help="keep state and logs here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(run(args, (args.dir or Path(folder)).resolve())), indent=2))


async def run(args: argparse.Namespace, directory: Path) -> dict[str, Any]:
    async with running_pipeline(directory, durability=args.durability) as pipeline:
        return await asyncio.to_thread(measure, args, pipeline)


def measure(args: argparse.Namespace, pipeline: Pipeline) -> dict[str, Any]:
    """Every part that was asked for, the quiet ones first."""
    settings = pipeline.settings
    result: dict[str, Any] = {
        "cores": os.cpu_count(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "durability": settings.durability,
    }
    with connect(settings) as client:
        for protocol in ("native", "otlp"):
            full_speed(pipeline, client, protocol, 2, args.senders, args.batch)
        if args.only in (None, "acknowledgement"):
            result["acknowledgement"] = acknowledgements(settings, 1_000, args.paced_seconds)
        if args.only in (None, "token_to_row"):
            result["token_to_row"] = token_to_row(settings, 500, args.paced_seconds)
        for protocol in ("native", "otlp"):
            if args.only in (None, protocol):
                result[protocol] = full_speed(
                    pipeline, client, protocol, args.seconds, args.senders, args.batch
                )
        result["rss_mb"] = {
            name: process.memory_info().rss >> 20
            for name in sorted(pipeline.pids)
            if (process := pipeline.process(name)) is not None
        }
        result["bytes_on_disk_per_span"] = _on_disk(client)
        alone = engine_alone(client, _ENGINE_ROWS)
        result["engine_alone_rows_per_s"] = round(alone)
        for protocol in ("native", "otlp"):
            if protocol in result:
                result[protocol]["ratio_to_engine"] = round(result[protocol]["spans_per_s"] / alone, 3)
    return result


# -- full speed ---------------------------------------------------------------------------------------------


def full_speed(
    pipeline: Pipeline, client: Client, protocol: Protocol, seconds: float, senders: int, batch: int
) -> dict[str, Any]:
    """Send as fast as all of it keeps up; wait until every span is in the one-minute rollup."""
    templates = [Template(protocol, batch, seed) for seed in range(_TEMPLATES)]
    _until(lambda: _queued(pipeline.settings) == 0, "what was sent before")
    before = _counted(client)
    used = _processor_s(pipeline)
    began = time.perf_counter()

    def send(number: int) -> tuple[int, int]:
        sent = refused = 0
        with _Line(pipeline.settings) as line, redis.Redis.from_url(pipeline.settings.redis) as queue:
            while time.perf_counter() - began < seconds:
                if int(queue.xlen(STREAM)) >= _MOST_QUEUED:
                    time.sleep(0.01)
                elif line.send(protocol, templates[(number + sent) % _TEMPLATES].render()):
                    sent += 1
                else:
                    refused += 1
                    time.sleep(1)
        return sent, refused

    with ThreadPoolExecutor(senders) as pool:
        answers = list(pool.map(send, range(senders)))
    sent = sum(count for count, _ in answers) * batch
    _until(lambda: _counted(client) >= before + sent, "the last row in llm_kpi_1min")
    visible_s = time.perf_counter() - began
    spent = {name: seconds - used[name] for name, seconds in _processor_s(pipeline).items()}
    rows, distinct = client.query("SELECT sum(sign), uniqExact(trace_id) FROM llm_traces").first_row
    return {
        "spans": sent,
        "seconds": round(visible_s, 1),
        "spans_per_s": round(sent / visible_s),
        "refused_requests": sum(count for _, count in answers),
        "processor_us_per_span": {name: round(s / sent * 1e6, 1) for name, s in spent.items()},
        "exact": rows == distinct == _counted(client) == before + sent,
    }


class _Line:
    """One connection to the collector, kept open."""

    def __init__(self, settings: Settings) -> None:
        self._connection = http.client.HTTPConnection(settings.host, settings.collector_port, timeout=60)

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, protocol: Protocol, body: bytes) -> bool:
        """Whether the collector acknowledged all of it."""
        path, kind = PATHS[protocol]
        self._connection.request("POST", path, body, {"Content-Type": kind})
        answer = self._connection.getresponse()
        answer.read()
        if answer.status not in (200, 503):
            raise RuntimeError(f"{path} answered {answer.status}")
        return answer.status == 200


def _processor_s(pipeline: Pipeline) -> dict[str, float]:
    """Processor seconds so far: each process, and this one, which sends."""
    found = {name: pipeline.process(name) for name in sorted(pipeline.pids)}
    times = {name: process.cpu_times() for name, process in found.items() if process is not None}
    times["senders"] = psutil.Process().cpu_times()
    return {name: spent.user + spent.system for name, spent in times.items()}


def _counted(client: Client) -> int:
    return int(client.query("SELECT sum(request_count) FROM llm_kpi_1min").first_row[0] or 0)


def _queued(settings: Settings) -> int:
    with redis.Redis.from_url(settings.redis) as queue:
        return int(queue.xlen(STREAM))


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {_PATIENCE_S} s")
        time.sleep(0.05)


# -- fixed rates --------------------------------------------------------------------------------------------


def acknowledgements(settings: Settings, rate: float, seconds: float) -> dict[str, Any]:
    """Milliseconds until requests are answered that are sent at a fixed rate, half of them OTLP."""
    found: list[float] = []
    _pace(settings, rate, seconds, found)
    return {
        "spans_per_s": round(rate),
        "spans_per_request": _PACED_BATCH,
        "requests": len(found),
        **_percentiles(found, 1_000, "ms"),
    }


def token_to_row(settings: Settings, rate: float, seconds: float) -> dict[str, Any]:
    """Seconds from a call to the first answer of the overview's query that shows it, under other traffic.

    What an exporter waits before it sends is its own matter; OpenTelemetry's default is up to 5 s.
    """
    found: list[float] = []
    ended = threading.Event()

    def probe(number: int) -> None:
        count = 0
        with connect(settings) as client, _Line(settings) as line:
            while not ended.is_set():
                tenant = f"probe-{time.time_ns()}-{number}"
                body = Template("native", 1, count, tenant).render()
                began = time.perf_counter()
                while not line.send("native", body):
                    time.sleep(0.1)
                while not _shown(client, tenant):
                    time.sleep(0.02)
                found.append(time.perf_counter() - began)
                count += 1

    with ThreadPoolExecutor(3) as pool:
        probes = [pool.submit(probe, number) for number in range(2)]
        _pace(settings, rate, seconds, [])
        ended.set()
        for done in probes:
            done.result()
    return {"spans_per_s": round(rate), "probes": len(found), **_percentiles(found, 1, "s")}


def _shown(client: Client, tenant: str) -> bool:
    selection = Selection(tenants=(tenant,))
    query = queries.totals(queries.View(selection, selection.window(datetime.now(UTC))))
    return bool(client.query(query.sql, parameters=dict(query.parameters)).result_rows)


def _pace(settings: Settings, rate: float, seconds: float, found: list[float]) -> None:
    """Send batches when they are due, from four connections; note how long after that each was answered."""
    senders = 4
    every = _PACED_BATCH * senders / rate
    began = time.perf_counter() + 0.1

    def send(number: int) -> None:
        protocol: Protocol = "native" if number % 2 == 0 else "otlp"
        templates = [Template(protocol, _PACED_BATCH, seed) for seed in range(4)]
        due = began + number * every / senders
        with _Line(settings) as line:
            while due < began + seconds:
                body = templates[0].render()
                templates.append(templates.pop(0))
                time.sleep(max(0.0, due - time.perf_counter()))
                if line.send(protocol, body):
                    found.append(time.perf_counter() - due)
                due += every

    with ThreadPoolExecutor(senders) as pool:
        list(pool.map(send, range(senders)))


def _percentiles(values: Sequence[float], scale: float, unit: str) -> dict[str, float]:
    ordered = sorted(values)
    return {
        f"p{level}_{unit}": round(ordered[min(len(ordered) - 1, len(ordered) * level // 100)] * scale, 3)
        for level in (50, 95, 99)
    }


# -- size ---------------------------------------------------------------------------------------------------


def _on_disk(client: Client) -> dict[str, float]:
    """Bytes of active parts per span, by table."""
    (spans,) = client.query("SELECT sum(sign) FROM llm_traces").first_row
    rows = client.query(
        "SELECT table, sum(bytes_on_disk) AS size FROM system.parts "
        "WHERE active AND database = currentDatabase() GROUP BY table ORDER BY size DESC"
    ).result_rows
    found = {str(table): round(size / spans, 1) for table, size in rows if size / spans >= 0.1}
    return {"all": round(sum(size for _, size in rows) / spans, 1), **found}


if __name__ == "__main__":
    main()
