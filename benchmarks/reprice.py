"""Seconds to reprice a month of stored calls while others arrive.

``python benchmarks/reprice.py [--calls N] [--rate N]`` starts an embedded ClickHouse and a Valkey of its own,
stores N calls of 30 days as the writer would have priced them, gives every call another price (an override),
and reprices all of them while a writer process stores ``--rate`` spans a second. Meanwhile raw table and
rollups are compared again and again, each time in one statement. Prints one JSON object; processor seconds
tell what the machine's other load hides.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import psutil
import redis
from clickhouse_connect.driver.client import Client

from assay.collector.envelope import Envelope
from assay.collector.queue import STREAM, publish
from assay.collector.writer.lock import Exclusive
from assay.contracts.records import Span, Tokens
from assay.pricing import store as prices
from assay.pricing.overrides import Override
from assay.pricing.reprice import reprice
from assay.settings import Settings
from assay.warehouse.client import connect
from benchmarks._stack import Stack, stack
from tests.support.processes import wait_for

# By relation, what it says of calls, dollars and tokens before a day. Cubes hold every call once per grain
# and dimension.
_SAID: Final = {
    "llm_traces": (
        "toInt64(count()), sum(cost_usd), toInt64(sum(prompt_tokens)) FROM llm_traces FINAL "
        "WHERE billed AND timestamp < {last:DateTime('UTC')}"
    ),
    **{
        f"llm_kpi_{grain}": (
            f"sum(request_count), sum(cost_usd), sum(prompt_tokens) FROM llm_kpi_{grain} "
            "WHERE period_start < {last:DateTime('UTC')}"
        )
        for grain in ("1min", "1h", "1d")
    },
    "llm_spend_15min": (
        "sum(request_count), sum(cost_usd), sum(uncached_tokens + cache_read_tokens + cache_write_5m_tokens "
        "+ cache_write_1h_tokens) FROM llm_spend_15min WHERE period_start < {last:DateTime('UTC')}"
    ),
    "llm_kpi_cubes": (
        "sum(request_count), sum(cost_usd), sum(prompt_tokens) FROM llm_kpi_cubes "
        "WHERE period_start < {last:DateTime('UTC')} GROUP BY grain, dimension"
    ),
}

# A comparison reads all tables whole. One after the other without a pause, they took one of two cores, and
# were half of what was measured: after each there is a pause, three times as long as it.
_PAUSE: Final = 3

# 20 tenants, 5 models, 8 templates: 800 series.
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


def agree(client: Client, last: datetime) -> bool:
    """Whether the raw table and everything that is summed from it say the same of the history."""
    stored = {
        name
        for (name,) in client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase()"
        ).result_rows
    }
    # In one statement: the store looks at all of the tables before it reads the first.
    rows = client.query(
        " UNION ALL ".join(f"SELECT {said}" for relation, said in _SAID.items() if relation in stored),
        parameters={"last": last},
        settings={"max_threads": 1},
    ).result_rows
    return len(set(rows)) == 1


class Sampler:
    """Compares raw table and rollups of the history while it changes."""

    def __init__(self, settings: Settings, last: datetime) -> None:
        self.samples = 0
        self.unequal = 0
        self.longest_s = 0.0
        self._settings, self._last = settings, last
        self._stop = threading.Event()

    def run(self) -> None:
        with connect(self._settings) as client:
            equal_at = time.monotonic()
            took = 0.0
            while not self._stop.wait(_PAUSE * took):
                began = time.monotonic()
                equal = agree(client, self._last)
                took = time.monotonic() - began
                self.samples += 1
                self.unequal += not equal
                # From the last sample in which they were equal until this one.
                if not equal:
                    self.longest_s = max(self.longest_s, time.monotonic() - equal_at)
                else:
                    equal_at = began

    @contextmanager
    def running(self) -> Iterator[Sampler]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()


class Swaps:
    """A client that notes how long moves that follow each other take: meanwhile tables differ."""

    def __init__(self, client: Client) -> None:
        self.seconds: list[float] = []
        self._client = client
        self._began: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def command(self, sql: str, **options: Any) -> Any:
        began = time.perf_counter()
        done = self._client.command(sql, **options)
        if "MOVE PARTITION" not in sql:
            self._began = None
        elif self._began is None:
            self._began = began
            self.seconds.append(time.perf_counter() - began)
        else:
            self.seconds[-1] = time.perf_counter() - self._began
        return done


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


def measure(services: Stack, calls: int, rate: int) -> dict[str, object]:
    """Store the history, change its price, reprice it under load."""
    settings, queue = services.settings, services.queue
    last = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = last - timedelta(days=30)
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
        swaps = Swaps(client)
        guard = Exclusive(settings.redis, client)
        held: list[float] = []

        @contextmanager
        def timed() -> Iterator[None]:
            with guard():
                began = time.perf_counter()
                yield
                held.append(time.perf_counter() - began)

        with (
            services.writer(),
            Traffic(settings, rate).running() as traffic,
            Sampler(settings, last).running() as sampler,
        ):
            time.sleep(2)
            sent, began, used = traffic.sent, time.perf_counter(), _processor_s()
            done = reprice(swaps, table, first, last, guard=timed, actor="benchmark")  # type: ignore[arg-type]
            seconds, used = time.perf_counter() - began, _processor_s() - used
            arrived = traffic.sent - sent
            backlog = int(queue.xlen(STREAM))
        with services.writer():
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
            "samples_during": sampler.samples,
            "unequal_samples_during": sampler.unequal,
            "longest_unequal_ms": round(1000 * sampler.longest_s),
            "swaps": len(swaps.seconds),
            "longest_swap_ms": round(1000 * max(swaps.seconds, default=0), 1),
            "all_swaps_ms": round(1000 * sum(swaps.seconds), 1),
            "longest_lock_ms": round(1000 * max(held, default=0)),
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
    parser.add_argument("--rate", type=int, default=1_000, help="spans a second that arrive meanwhile")
    args = parser.parse_args()
    with stack() as services:
        print(json.dumps(measure(services, args.calls, args.rate), indent=2))


if __name__ == "__main__":
    main()
