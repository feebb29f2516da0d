"""The judge service: ``python -m evaluators.worker``.

Looks for new spans every two seconds, evaluates a sample of them and hands the scores to the queue. With
``ANTHROPIC_API_KEY`` a model judges; without it the heuristics alone do. One worker per store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import redis.asyncio
from anthropic import AsyncAnthropic
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.exceptions import RedisError

from assay.collector.queue import QueueUnavailableError
from assay.settings import Settings, SettingsError, load_settings
from assay.warehouse.client import connect
from evaluators import candidates, judge, sampling
from evaluators.candidates import OVERLAP, Candidate, Selection
from evaluators.progress import Progress
from evaluators.scoring import Evaluator, HeuristicScores, JudgeScores, Outcome
from evaluators.spend import Spend, UnpricedJudgeError, require_price
from evaluators.versions import HEURISTICS, HEURISTICS_VERSION, JUDGE, JUDGE_VERSION

STATUS: Final = "assay:judge:status"
POLL_S: Final = 2.0
HEARTBEAT_S: Final = 4.0
_LONGEST_BACKOFF_S: Final = 60.0
# The supervisor waits 15 s before it kills. What is not finished by then is judged again after the start.
_GRACE_S: Final = 8.0
_OVERRIDES_EVERY_S: Final = 60.0

_OUTAGES: Final = (ClickHouseError, RedisError, QueueUnavailableError, OSError)
log = logging.getLogger("assay.judge")


class ProviderUnavailableError(RuntimeError):
    """The judge's provider does not answer; what it was to judge waits."""


@dataclass
class Totals:
    """What the worker did since it was started, and what is wrong."""

    judged: int = 0
    unknown: int = 0
    skipped: int = 0
    failed: int = 0
    lag_ms: int | None = None
    last_tick_at: float | None = None
    # What keeps the worker from working now; empty once a tick went through.
    outage: str = ""
    last_error: str = ""
    last_error_at: float | None = None

    def add(self, outcome: Outcome) -> None:
        """Count a page."""
        self.judged += outcome.scored
        self.unknown += outcome.unknown
        self.skipped += outcome.skipped
        self.failed += bool(outcome.problem)

    def fail(self, problem: str) -> None:
        """Note what is wrong."""
        if problem != self.last_error:
            log.warning("%s", problem)
        self.last_error, self.last_error_at = problem, time.time()


class Worker:
    """Evaluates what arrives.

    Args:
        settings: where the stores are, and how to judge.
        client: of Redis, for the queue, the watermarks and the heartbeat; the caller closes it.
    """

    def __init__(self, settings: Settings, client: redis.asyncio.Redis) -> None:
        self.totals = Totals()
        self.stop = asyncio.Event()
        self._settings = settings
        self._redis = client
        self._store: Client | None = None
        self._spend = Spend(client, settings.judge_daily_usd)
        self._provider: AsyncAnthropic | None = None
        self._overrides_at = float("-inf")
        try:
            self._provider = _provider(settings)
        except UnpricedJudgeError as error:
            self.totals.fail(str(error))
        self.evaluators = self._evaluators()

    @property
    def mode(self) -> str:
        """Whose scores are made: ``judge`` or ``heuristics``, or both."""
        return "+".join(
            "judge" if e.selection.evaluator == JUDGE else e.selection.evaluator for e in self.evaluators
        )

    async def tick(self) -> None:
        """Evaluate everything that has arrived.

        Raises:
            ProviderUnavailableError: the judge's provider fails; everything else was evaluated.
            ClickHouseError, RedisError, QueueUnavailableError: a store fails. Nothing is lost in any case.
        """
        problems = [problem for e in self.evaluators if (problem := await self._advance(e))]
        if time.monotonic() - self._overrides_at > _OVERRIDES_EVERY_S:
            for problem in await asyncio.to_thread(lambda: sampling.refused_overrides(self._connected())):
                self.totals.fail(problem)
            self._overrides_at = time.monotonic()
        self.totals.last_tick_at = time.time()
        if problems:
            raise ProviderUnavailableError("; ".join(problems))

    async def run(self) -> None:
        """Tick until stopped. An outage is waited out, longer each time up to a minute."""
        backoff = 0.0
        while not self.stop.is_set():
            try:
                await self.tick()
                backoff, self.totals.outage = 0.0, ""
            except (*_OUTAGES, ProviderUnavailableError) as error:
                self.totals.outage = f"{type(error).__name__}: {error}"
                self.totals.fail(self.totals.outage)
                self._disconnect()
                backoff = min(_LONGEST_BACKOFF_S, max(POLL_S, backoff * 2))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), backoff or POLL_S)

    async def beat(self) -> None:
        """Write the heartbeat: what was done, what is wrong, on the server's clock."""
        seconds, micros = await self._redis.time()
        fields: dict[str, object] = {
            "at": f"{seconds + micros / 1e6:.3f}",
            "pid": os.getpid(),
            "mode": self.mode,
            "judged": self.totals.judged,
            "unknown": self.totals.unknown,
            "skipped": self.totals.skipped,
            "failed": self.totals.failed,
            "spend_usd": f"{self._spend.usd:f}",
            "limit_usd": "" if self._settings.judge_daily_usd is None else self._settings.judge_daily_usd,
            "lag_ms": _text(self.totals.lag_ms),
            "last_tick_at": _text(self.totals.last_tick_at),
            "outage": self.totals.outage[:500],
            "last_error": self.totals.last_error[:500],
            "last_error_at": _text(self.totals.last_error_at),
        }
        await self._redis.hset(STATUS, mapping={name: str(value) for name, value in fields.items()})

    async def close(self) -> None:
        """Close the connections that the worker opened."""
        self._disconnect()
        if self._provider is not None:
            await self._provider.close()

    async def _advance(self, evaluator: Evaluator) -> str:
        progress, selection = evaluator.progress, evaluator.selection
        watermark = await progress.watermark()
        oldest = int((time.time() - selection.max_age.total_seconds()) * 1000)
        since = (oldest if watermark is None else watermark) - int(OVERLAP.total_seconds() * 1000)
        now_ms, arrived = await asyncio.to_thread(
            lambda: candidates.look(self._connected(), selection, since)
        )
        after = (since, "", "")
        while arrived:
            page = await asyncio.to_thread(self._page, selection, since, after)
            outcome = await evaluator.evaluate(await progress.undone(page), self.stop)
            self.totals.add(outcome)
            if outcome.skipped:
                self.totals.fail(f"the daily limit of {self._settings.judge_daily_usd} USD is reached")
            if outcome.pending:
                first = min(candidate.ingested_at_ms for candidate in outcome.pending)
                self.totals.lag_ms = max(0, now_ms - first)
                await progress.advance(min(first, now_ms))
                return outcome.problem
            if len(page) < candidates.PAGE:
                break
            last = page[-1]
            after = (last.ingested_at_ms, last.trace_id, last.span_id)
            await progress.advance(min(last.ingested_at_ms, now_ms))
        self.totals.lag_ms = 0
        await progress.advance(now_ms)
        return ""

    def _page(self, selection: Selection, since: int, after: tuple[int, str, str]) -> list[Candidate]:
        return candidates.page(self._connected(), selection, since, after)

    def _connected(self) -> Client:
        if self._store is None:
            self._store = connect(self._settings)
        return self._store

    def _disconnect(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _evaluators(self) -> list[Evaluator]:
        settings = self._settings
        made: list[Evaluator] = []
        if self._provider is not None:
            selection = _selection(settings, JUDGE, JUDGE_VERSION)
            made.append(
                JudgeScores(
                    selection,
                    Progress(self._redis, f"{JUDGE}@{JUDGE_VERSION}"),
                    judge.Judge(self._provider, settings.judge_model, judge.template(JUDGE, JUDGE_VERSION)),
                    self._spend,
                    self._redis,
                    settings.judge_concurrency,
                )
            )
        if self._provider is None or settings.heuristics_beside_judge:
            made.append(
                HeuristicScores(
                    _selection(settings, HEURISTICS, HEURISTICS_VERSION),
                    Progress(self._redis, f"{HEURISTICS}@{HEURISTICS_VERSION}"),
                )
            )
        return made


def _provider(settings: Settings) -> AsyncAnthropic | None:
    if settings.anthropic_api_key is None:
        return None
    require_price(settings.judge_model, settings.judge_daily_usd)
    return judge.connect(settings)


def _selection(settings: Settings, evaluator: str, version: str) -> Selection:
    judged = evaluator == JUDGE
    return Selection(
        evaluator=evaluator,
        version=version,
        rates=sampling.TIER_RATES if judged else sampling.EVERYTHING,
        overrides=judged,
        capture_rate=settings.capture_sample_rate,
        repeat_share=settings.judge_repeat_share if judged else 0.0,
        max_age=timedelta(seconds=settings.judge_max_age_s),
    )


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


async def _heartbeats(worker: Worker) -> None:
    while True:
        try:
            await worker.beat()
        except (RedisError, OSError) as error:
            worker.totals.fail(f"{type(error).__name__}: {error}")
        await asyncio.sleep(HEARTBEAT_S)


async def _serve(settings: Settings) -> None:
    async with redis.asyncio.Redis.from_url(settings.redis) as client:
        worker = Worker(settings, client)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, worker.stop.set)
        log.info("evaluating with: %s", worker.mode)
        running = asyncio.create_task(worker.run())
        beating = asyncio.create_task(_heartbeats(worker))
        stopping = asyncio.create_task(worker.stop.wait())
        await asyncio.wait((running, beating, stopping), return_when=asyncio.FIRST_COMPLETED)
        worker.stop.set()
        await asyncio.wait((running,), timeout=_GRACE_S)
        for task in (running, beating, stopping):
            task.cancel()
        results = await asyncio.gather(running, beating, return_exceptions=True)
        await worker.close()
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker until it is stopped; return the exit code."""
    if arguments if arguments is not None else sys.argv[1:]:
        sys.stderr.write("evaluators.worker takes no arguments; settings are ASSAY_* variables\n")
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    asyncio.run(_serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
