"""The evaluators as the worker runs them: a page of candidates in, scores in the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

import anthropic
import redis.asyncio
from redis.exceptions import RedisError

from assay.collector.queue import QueueUnavailableError
from assay.contracts.records import Evaluation
from evaluators import consistency, heuristics
from evaluators.candidates import Candidate, Selection
from evaluators.consistency import Opinion
from evaluators.judge import Call, Exchange, Judge
from evaluators.progress import Progress, publish_call
from evaluators.spend import Spend

# A refusal of a request is the request's own fault when the provider answered others lately; otherwise it may
# as well be the account's or the model's (an exhausted credit, a parameter that the model does not know).
_LATELY_S: Final = 600
_OWN_FAULT: Final = (
    anthropic.BadRequestError,
    anthropic.ContentTooLargeError,
    anthropic.UnprocessableEntityError,
)


@dataclass
class Outcome:
    """What became of a page.

    Attributes:
        scored, unknown: scores; answers that could not be told.
        skipped: not scored because the day's limit is reached.
        pending: to be tried again. problem: why, where there are any.
    """

    scored: int = 0
    unknown: int = 0
    skipped: int = 0
    pending: list[Candidate] = field(default_factory=list)
    problem: str = ""

    def count(self, score: float | None) -> None:
        """Count a score, or that it could not be told."""
        if score is None:
            self.unknown += 1
        else:
            self.scored += 1


class Evaluator(Protocol):
    """Scores candidates under one name and version."""

    selection: Selection
    progress: Progress

    async def evaluate(self, page: Sequence[Candidate], stop: asyncio.Event) -> Outcome:
        """Score what is captured of a page; what is not done when ``stop`` is set stays pending."""


class HeuristicScores:
    """The checks of :mod:`evaluators.heuristics`, a page at a time."""

    def __init__(self, selection: Selection, progress: Progress) -> None:
        self.selection = selection
        self.progress = progress

    async def evaluate(self, page: Sequence[Candidate], stop: asyncio.Event) -> Outcome:
        """See :class:`Evaluator`."""
        outcome = Outcome(pending=list(page) if stop.is_set() else [])
        done = [c for c in page if c.captured and not outcome.pending]
        evaluations = []
        for candidate in done:
            found = heuristics.assess(_text_of(candidate))
            outcome.count(found.score)
            evaluations.append(
                _evaluation(self.selection, candidate, Opinion(found.score, found.verdict, None))
            )
        await self.progress.publish(done, evaluations)
        return outcome


class JudgeScores:
    """The judge's opinions, several calls at a time, each stored as soon as it is there.

    Args:
        selection: what is judged.
        progress: where scores go.
        judge: who is asked.
        spend: what counts the calls and stops them at the limit.
        client: of the queue, for the judge's own spans.
        concurrency: calls at a time.
    """

    def __init__(
        self,
        selection: Selection,
        progress: Progress,
        judge: Judge,
        spend: Spend,
        client: redis.asyncio.Redis,
        concurrency: int,
    ) -> None:
        self.selection = selection
        self.progress = progress
        self._judge = judge
        self._spend = spend
        self._client = client
        self._concurrency = concurrency
        self._answered_at = float("-inf")

    async def evaluate(self, page: Sequence[Candidate], stop: asyncio.Event) -> Outcome:
        """See :class:`Evaluator`. After the first sign of an outage no more calls are started."""
        await self._spend.refresh()
        outcome = Outcome()
        refused: list[tuple[Candidate, anthropic.APIError]] = []
        todo = iter([c for c in page if c.captured])

        async def work() -> None:
            for candidate in todo:
                if stop.is_set() or outcome.problem:
                    outcome.pending.append(candidate)
                elif self._spend.exhausted:
                    outcome.skipped += 1
                    await self.progress.skip([candidate])
                else:
                    await self._judge_one(candidate, outcome, refused)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(work())
        except ExceptionGroup as errors:
            # What several calls met at once is one outage of the queue: the caller waits it out.
            outages, others = errors.split((RedisError, QueueUnavailableError, OSError))
            if outages is None or others is not None:
                raise
            raise outages.exceptions[0] from errors
        await self._settle(refused, outcome)
        return outcome

    async def _settle(self, refused: list[tuple[Candidate, anthropic.APIError]], outcome: Outcome) -> None:
        """Give up what was refused for its own fault; keep it where nothing is answered at all."""
        if time.monotonic() - self._answered_at <= _LATELY_S:
            for candidate, _ in refused:
                await self._store(candidate, Opinion(None, "rejected_by_provider", None), outcome)
        elif refused:
            outcome.pending.extend(candidate for candidate, _ in refused)
            outcome.problem = outcome.problem or _problem(refused[0][1])

    async def _judge_one(
        self,
        candidate: Candidate,
        outcome: Outcome,
        refused: list[tuple[Candidate, anthropic.APIError]],
    ) -> None:
        try:
            opinion = await self._opinion(candidate)
        except _OWN_FAULT as error:
            refused.append((candidate, error))
        except anthropic.APIError as error:
            outcome.pending.append(candidate)
            outcome.problem = _problem(error)
        else:
            await self._store(candidate, opinion, outcome)

    async def _store(self, candidate: Candidate, opinion: Opinion, outcome: Outcome) -> None:
        await self.progress.publish([candidate], [_evaluation(self.selection, candidate, opinion)])
        outcome.count(opinion.score)

    async def _opinion(self, candidate: Candidate) -> Opinion:
        # Tokens were billed and no text came: calls of tools. There is nothing to read, and no reason to pay
        # for it.
        if not candidate.answer.strip() and candidate.completion_tokens > 0:
            return Opinion(None, "no_text", None)
        template = f"{self.selection.evaluator}@{self.selection.version}"

        async def meter(call: Call) -> None:
            self._answered_at = time.monotonic()
            await self._spend.add(call)
            await publish_call(self._client, call, candidate, template)

        exchange = Exchange(
            task=candidate.task_type,
            question=candidate.question,
            documents=candidate.documents,
            answer=candidate.answer,
        )
        times = consistency.REPEATS if candidate.repeated else 1
        return consistency.combine([await self._judge.ask(exchange, meter) for _ in range(times)])


def _evaluation(selection: Selection, candidate: Candidate, opinion: Opinion) -> Evaluation:
    return Evaluation(
        trace_id=candidate.trace_id,
        tenant_id=candidate.tenant_id,
        span_id=candidate.span_id,
        evaluator=selection.evaluator,
        evaluator_version=selection.version,
        score=opinion.score,
        verdict=opinion.verdict,
        confidence=opinion.confidence,
        sampling_rate=candidate.rate,
        timestamp=datetime.now(UTC),
    )


def _text_of(candidate: Candidate) -> heuristics.Exchange:
    return heuristics.Exchange(
        question=candidate.question,
        answer=candidate.answer,
        completion_tokens=candidate.completion_tokens,
        finish_reason=candidate.finish_reason,
        prompt_template_version=candidate.prompt_template_version,
        task_type=candidate.task_type,
    )


def _problem(error: anthropic.APIError) -> str:
    return f"{type(error).__name__}: {error.message}"
