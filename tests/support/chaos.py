"""Kill what stores the spans while they arrive, and count afterwards.

Senders write spans that they know by id and retry until each is acknowledged, in batches that overlap with
those that were acknowledged before. Meanwhile processes are killed with ``kill -9``. At the end every span
must be there exactly once: in the raw table, and in each rollup with its tokens and its dollars.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import redis
from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.collector.queue import STREAM
from assay.contracts.records import Span, Tokens
from assay.warehouse.client import connect
from tests.support.pipeline import CLICKHOUSE, COLLECTOR, VALKEY, WRITER, Pipeline
from tests.support.span_bodies import otlp_body

SERVICES = (WRITER, COLLECTOR, CLICKHOUSE, VALKEY)
# Rollups, and the seconds of their periods.
GRAINS = {"1min": 60, "1h": 3_600, "1d": 86_400}
# US dollars per token of the one model that is sent, at its list price.
MODEL = "claude-sonnet-4-5"
_PROMPT_USD = Decimal("0.000003")
_COMPLETION_USD = Decimal("0.000015")
_SENDERS = 4
_MOST_PER_BATCH = 250
# How long senders go on after the last span until all are acknowledged, and the writer until all are stored.
_PATIENCE_S = 180.0

Id = tuple[str, str]


@dataclass(frozen=True)
class Plan:
    """One round.

    Attributes:
        seconds: how long spans are made.
        rate: spans per second, all senders together.
        kills: how often each service is killed.
        seed: of the order and the moments of the kills, and of the batches.
    """

    seconds: float
    rate: float = 2_000
    kills: int = 1
    seed: int = 0


@dataclass
class Outcome:
    """What one round came to.

    Attributes:
        kills: by service.
        sent, acknowledged: distinct spans.
        deliveries: spans in all requests, those repeated included.
        stored: distinct spans in ``llm_traces FINAL``.
        missing: acknowledged and not stored.
        duplicated: rows beyond one for each stored span, in the raw table.
        unknown: stored and never sent.
        rejected: rows of ``ingest_rejects``.
        rollup_differences: groups of (period, series) whose calls, tokens or dollars are not those of the
            spans that were sent and are stored, by grain.
        recovery_s: by service, seconds from each kill until a span made after it could be read from the
            store.
    """

    seed: int
    seconds: float
    kills: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    acknowledged: int = 0
    deliveries: int = 0
    stored: int = 0
    missing: int = 0
    duplicated: int = 0
    unknown: int = 0
    rejected: int = 0
    rollup_differences: dict[str, int] = field(default_factory=dict)
    recovery_s: dict[str, list[float]] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether nothing was lost, repeated or made up."""
        wrong = self.missing + self.duplicated + self.unknown + self.rejected
        return wrong == 0 and not any(self.rollup_differences.values())

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "exact": self.exact}


async def round_of(pipeline: Pipeline, plan: Plan) -> Outcome:
    """Send, kill, wait until everything is stored, count."""
    rng = random.Random(plan.seed)
    outcome = Outcome(plan.seed, plan.seconds)
    tag = f"{time.time_ns():024x}"
    senders = [
        _Sender(pipeline, plan.rate / _SENDERS, tag, number, random.Random(rng.random()))
        for number in range(_SENDERS)
    ]
    sending = [asyncio.create_task(sender.run(plan.seconds)) for sender in senders]
    recoveries = await _kill(pipeline, plan, rng, outcome)
    await asyncio.gather(*sending)
    for service, seconds in await asyncio.gather(*recoveries):
        outcome.recovery_s.setdefault(service, []).append(round(seconds, 2))
    await _drained(pipeline)
    for sender in senders:
        outcome.deliveries += sender.deliveries
    await asyncio.to_thread(_count, pipeline, tag, senders, outcome)
    return outcome


class _Sender:
    """One client: an exporter that forgets a span only once it is acknowledged."""

    def __init__(self, pipeline: Pipeline, rate: float, tag: str, number: int, rng: random.Random) -> None:
        self._pipeline = pipeline
        self._rate = rate
        self._tag = tag
        self._number = number
        self._rng = rng
        self._waiting: deque[Span] = deque()
        self._recent: deque[Span] = deque(maxlen=1_000)
        self.sent: dict[Id, Span] = {}
        self.acknowledged: set[Id] = set()
        self.deliveries = 0

    async def run(self, seconds: float) -> None:
        """Make spans for so long; return when all are acknowledged."""
        began = time.monotonic()
        made = 0
        url = self._pipeline.settings.collector
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(base_url=url, timeout=5, limits=limits, trust_env=False) as client:
            while (elapsed := time.monotonic() - began) < seconds + _PATIENCE_S:
                due = int(min(elapsed, seconds) * self._rate)
                self._waiting.extend(self._span(number) for number in range(made, due))
                made = max(made, due)
                if not self._waiting:
                    if elapsed >= seconds:
                        return
                    await asyncio.sleep(0.05)
                    continue
                await self._deliver(client)
                if len(self._waiting) < _MOST_PER_BATCH and elapsed < seconds:
                    await asyncio.sleep(self._rng.uniform(0.02, 0.12))
        raise TimeoutError(f"{len(self._waiting)} spans were not acknowledged within {_PATIENCE_S:.0f} s")

    async def _deliver(self, client: httpx.AsyncClient) -> None:
        """Send the oldest that wait, sometimes with neighbours that were acknowledged before."""
        rng = self._rng
        oldest = min(len(self._waiting), rng.randint(1, _MOST_PER_BATCH))
        fresh = [self._waiting[i] for i in range(oldest)]
        again = rng.sample(self._recent, min(len(self._recent), 50)) if rng.random() < 0.3 else []
        batch = [*again, *fresh]
        self.sent.update({_id(span): span for span in fresh})
        if not await self._post(client, batch):
            await asyncio.sleep(rng.uniform(0.05, 0.3))
            return
        for span in fresh:
            self.acknowledged.add(_id(span))
            self._waiting.popleft()
        self._recent.extend(fresh)
        if rng.random() < 0.1:
            await self._post(client, batch)

    async def _post(self, client: httpx.AsyncClient, batch: Sequence[Span]) -> bool:
        # One of them is an OpenTelemetry exporter.
        if self._number == 0:
            path, kind, body = "/v1/traces", "application/x-protobuf", otlp_body(batch)
        else:
            path, kind, body = "/v1/spans", "application/json", msgspec.json.encode(batch)
        self.deliveries += len(batch)
        try:
            answer = await client.post(path, content=body, headers={"Content-Type": kind})
        except httpx.HTTPError:
            return False
        return answer.status_code == httpx.codes.OK

    def _span(self, number: int) -> Span:
        rng = self._rng
        return Span(
            trace_id=f"{self._tag}{self._number:02x}{number:06x}",
            span_id=f"{number + 1:016x}",
            timestamp=datetime.now(UTC),
            model=MODEL,
            tokens=Tokens(prompt=rng.randint(1, 9_000), completion=rng.randint(1, 900)),
            tenant_id=f"{self._tag}-{rng.randrange(8)}",
            prompt_template_version=f"template-v{rng.randrange(4)}",
            latency_ms=float(rng.randint(100, 9_000)),
        )


def _id(span: Span) -> Id:
    return span.trace_id, span.span_id


async def _kill(
    pipeline: Pipeline, plan: Plan, rng: random.Random, outcome: Outcome
) -> list[asyncio.Task[tuple[str, float]]]:
    """Kill every service so often, in random order, at random moments of the sending."""
    order: list[str] = []
    for _ in range(plan.kills):
        order.extend(rng.sample(SERVICES, len(SERVICES)))
    moments = sorted(rng.uniform(0.05, 0.95) * plan.seconds for _ in order)
    began = time.monotonic()
    recoveries = []
    for service, moment in zip(order, moments, strict=True):
        await asyncio.sleep(max(0.0, began + moment - time.monotonic()))
        await _kill_one(pipeline, rng.choice(pipeline.writers) if service == WRITER else service)
        outcome.kills[service] = outcome.kills.get(service, 0) + 1
        recoveries.append(asyncio.create_task(_recovery(pipeline, service, datetime.now(UTC))))
    return recoveries


async def _kill_one(pipeline: Pipeline, name: str) -> None:
    # It may be on its way up from an earlier kill.
    while (process := pipeline.process(name)) is None:
        await asyncio.sleep(0.05)
    process.kill()


async def _recovery(pipeline: Pipeline, service: str, killed_at: datetime) -> tuple[str, float]:
    """Seconds until a span that was made after the kill is stored."""
    query = "SELECT count() FROM llm_traces WHERE timestamp > {at:DateTime64(6, 'UTC')}"

    def stored() -> bool:
        try:
            with connect(pipeline.settings) as client:
                rows = client.query(query, parameters={"at": killed_at}).result_rows
        except (ClickHouseError, OSError):
            return False
        return bool(rows[0][0])

    while not await asyncio.to_thread(stored):
        await asyncio.sleep(0.1)
    return service, (datetime.now(UTC) - killed_at).total_seconds()


async def _drained(pipeline: Pipeline) -> None:
    def empty() -> bool:
        try:
            with redis.Redis.from_url(pipeline.settings.redis, socket_timeout=5) as client:
                return not client.xlen(STREAM)
        except redis.RedisError:
            return False

    began = time.monotonic()
    while not await asyncio.to_thread(empty):
        if time.monotonic() - began > _PATIENCE_S:
            raise TimeoutError(f"the queue is not empty after {_PATIENCE_S:.0f} s: {pipeline.events}")
        await asyncio.sleep(0.1)


def _count(pipeline: Pipeline, round_tag: str, senders: Iterable[_Sender], outcome: Outcome) -> None:
    sent: dict[Id, Span] = {}
    acknowledged: set[Id] = set()
    for sender in senders:
        sent.update(sender.sent)
        acknowledged |= sender.acknowledged
    ours = "startsWith(tenant_id, {tag:String})"
    parameters = {"tag": round_tag}
    with connect(pipeline.settings) as client:
        rows = client.query(
            f"SELECT trace_id, span_id FROM llm_traces FINAL WHERE {ours}", parameters=parameters
        ).result_rows
        rolled_up = {
            grain: {
                tuple(row[:3]): tuple(row[3:])
                for row in client.query(
                    "SELECT toUnixTimestamp(period_start), tenant_id, prompt_template_version, "
                    "sum(request_count), sum(prompt_tokens), sum(completion_tokens), sum(cost_usd) "
                    f"FROM llm_kpi_{grain} WHERE {ours} GROUP BY ALL",
                    parameters=parameters,
                ).result_rows
            }
            for grain in GRAINS
        }
        (outcome.rejected,) = client.query("SELECT count() FROM ingest_rejects").first_row
    stored = Counter((trace, span) for trace, span in rows)
    outcome.sent, outcome.acknowledged, outcome.stored = len(sent), len(acknowledged), len(stored)
    outcome.missing = len(acknowledged - stored.keys())
    outcome.unknown = len(stored.keys() - sent.keys())
    outcome.duplicated = sum(stored.values()) - len(stored)
    # What is right follows from what the senders made, not from what the store says of it.
    there = [span for span_id, span in sent.items() if span_id in stored]
    for grain, found in rolled_up.items():
        wanted = _expected(there, GRAINS[grain])
        outcome.rollup_differences[grain] = sum(
            wanted.get(key) != found.get(key) for key in wanted.keys() | found.keys()
        )


def _expected(spans: Iterable[Span], period_s: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Calls, tokens and dollars by (period, tenant, template)."""
    groups: dict[tuple[Any, ...], list[Tokens]] = {}
    for span in spans:
        period = int(span.timestamp.timestamp()) // period_s * period_s
        groups.setdefault((period, span.tenant_id, span.prompt_template_version), []).append(span.tokens)
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for key, tokens in groups.items():
        prompt, completion = sum(t.prompt for t in tokens), sum(t.completion for t in tokens)
        found[key] = (len(tokens), prompt, completion, prompt * _PROMPT_USD + completion * _COMPLETION_USD)
    return found
