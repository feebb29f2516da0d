"""Days of generated past: spans and everything that follows them.

A day depends on its date and the seed alone: loading a stretch twice, or two that overlap, stores it once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from assay.contracts.records import Deployment, Evaluation, Feedback, Label, Outcome, Span, TaskTime, Tenant
from assay.simulator import records
from assay.simulator.judging import verdict_of
from assay.simulator.traffic import HUMAN_NOISE, SEED, Calls, Floats, Ints, day_of_calls
from assay.simulator.world import HUMAN_MINUTES, SOURCE, WORLD, World, releases_on, version
from evaluators import versions
from evaluators.sampling import TIER_RATES

# Shares as the field reports them: a few users in a hundred rate an answer; one answer in a hundred cannot
# be judged.
_RATED = 0.04
_UNKNOWN = 0.01
_CONVERTED = 0.07
_ESCALATED = 0.25
_LABELLED_A_DAY = 8
_RATERS = ("rater-anna", "rater-ben")
# Of the log-normal of how long people take for the same task.
_TIME_SPREAD = 0.4
_SALES_TASKS = ("rag", "drafting", "generation")


@dataclass(frozen=True)
class Day:
    """The calls of a day (or of part of it) and what became of them, by position in ``calls``."""

    calls: Calls
    judged: Ints
    rate: Floats
    confidence: Floats
    unknown: Ints
    rated: Ints
    approved: Ints
    converted: Ints
    value_cents: Ints
    escalated: Ints
    labelled: Ints
    labels: Floats


def day(
    of: date, *, after: datetime | None = None, before: datetime | None = None, seed: int = SEED,
    world: World = WORLD, volume: float = 1.0,
) -> Day:  # fmt: skip
    """A day, or the part of it from ``after`` to before ``before``."""
    calls = day_of_calls(of, seed=seed, world=world, volume=volume)
    rng = np.random.default_rng((seed, of.toordinal(), 1))
    inside = np.ones(len(calls), dtype=bool)
    if after is not None:
        inside &= calls.at_us >= int(after.timestamp() * 1_000_000)
    if before is not None:
        inside &= calls.at_us < int(before.timestamp() * 1_000_000)
    return consequences(rng, calls, inside, world=world)


def consequences(
    rng: np.random.Generator, calls: Calls, inside: NDArray[np.bool_], *, world: World = WORLD
) -> Day:
    """What becomes of calls: scores, ratings, sales, escalations, labels. Only of those ``inside``."""
    n = len(calls)
    answered = calls.status != 1

    rates = np.array([TIER_RATES[customer.tier] for customer, _ in world.series])[calls.series]
    judged = answered & (rng.random(n) < rates)
    rated = answered & (calls.user >= 0) & (rng.random(n) < _RATED)
    sells = np.array([template.task_type in _SALES_TASKS for _, template in world.series])[calls.series]
    converted = answered & sells & (calls.user >= 0) & (rng.random(n) < _CONVERTED * calls.worth)
    escalated = answered & (calls.user >= 0) & (rng.random(n) < _ESCALATED * (1 - calls.worth) ** 2)
    return Day(
        calls=calls,
        judged=_where(judged & inside),
        rate=rates,
        confidence=np.round(rng.uniform(0.78, 0.97, n), 3),
        unknown=(rng.random(n) < _UNKNOWN).astype(np.int64),
        rated=_where(rated & inside),
        approved=(rng.random(n) < calls.worth).astype(np.int64),
        converted=_where(converted & inside),
        value_cents=(rng.lognormal(np.log(4200), 0.6, n)).astype(np.int64),
        escalated=_where(escalated & inside),
        labelled=_labelled(rng, calls, _where(judged & inside)),
        labels=np.clip(
            np.round(calls.worth[:, None] + rng.normal(0, HUMAN_NOISE, (n, len(_RATERS))), 2), 0, 1
        ),
    )


def days(start: datetime, end: datetime, *, seed: int = SEED, volume: float = 1.0) -> Iterator[Day]:
    """The days from ``start`` to before ``end``, the first and the last one in part."""
    first, last = start.astimezone(UTC).date(), end.astimezone(UTC).date()
    for n in range((last - first).days + 1):
        yield day(first + timedelta(days=n), after=start, before=end, seed=seed, volume=volume)


def spans(of: Day, start: datetime, end: datetime) -> Iterator[Span]:
    """The spans of a day between two times."""
    low, high = (int(moment.timestamp() * 1_000_000) for moment in (start, end))
    calls = of.calls
    return records.spans(calls.take((calls.at_us >= low) & (calls.at_us < high)))


def evaluations(of: Day) -> Iterator[Evaluation]:
    """The judge's scores of a day, a second or two after each answer."""
    for i in of.judged.tolist():
        unknown = bool(of.unknown[i])
        yield Evaluation(
            trace_id=of.calls.trace[i],
            tenant_id=_tenant(of.calls, i, WORLD),
            span_id=of.calls.trace[i][:16],
            evaluator=versions.JUDGE,
            # The judge's own name: its live scores continue these.
            evaluator_version=versions.JUDGE_VERSION,
            score=None if unknown else float(of.calls.score[i]),
            verdict="unknown" if unknown else verdict_of(float(of.calls.score[i])),
            confidence=None if unknown else float(of.confidence[i]),
            sampling_rate=float(of.rate[i]),
            timestamp=_after(of.calls, i, 1.6),
        )


def feedback(of: Day, *, delay_s: float = 70) -> Iterator[Feedback]:
    """Thumbs up and down, a minute or so after the answer."""
    for i in of.rated.tolist():
        yield Feedback(
            trace_id=of.calls.trace[i],
            tenant_id=_tenant(of.calls, i, WORLD),
            user_id=_user(of.calls, i, WORLD),
            value=1.0 if of.approved[i] else -1.0,
            timestamp=_after(of.calls, i, delay_s),
        )


def outcomes(of: Day, *, delay_s: float = 240) -> Iterator[Outcome]:
    """Conversions, with their value in dollars, and escalations to a person."""
    for i in of.converted.tolist():
        yield Outcome(
            trace_id=of.calls.trace[i],
            tenant_id=_tenant(of.calls, i, WORLD),
            event="conversion",
            value=Decimal(int(of.value_cents[i])) / 100,
            timestamp=_after(of.calls, i, delay_s),
        )
    for i in of.escalated.tolist():
        yield Outcome(
            trace_id=of.calls.trace[i],
            tenant_id=_tenant(of.calls, i, WORLD),
            event="escalation",
            timestamp=_after(of.calls, i, delay_s),
        )


def labels(of: Day) -> Iterator[Label]:
    """What two people thought of a few judged answers, from the best to the worst."""
    for i in of.labelled.tolist():
        for rater, score in zip(_RATERS, of.labels[i].tolist(), strict=True):
            yield Label(
                trace_id=of.calls.trace[i],
                tenant_id=_tenant(of.calls, i, WORLD),
                rater=rater,
                score=score,
                rubric="helpfulness",
                timestamp=_after(of.calls, i, 3_600),
            )


def task_times(start: datetime, end: datetime, *, seed: int = SEED) -> Iterator[TaskTime]:
    """How long people took: every noon between two times, somebody is timed at one task of each type."""
    first = start.astimezone(UTC).date()
    for n in range((end - start).days + 2):
        noon = datetime.combine(first + timedelta(days=n), time(12), UTC)
        if not start <= noon < end:
            continue
        rng = np.random.default_rng((seed, noon.toordinal(), 2))
        drawn = rng.lognormal(0, _TIME_SPREAD, len(HUMAN_MINUTES))
        for (task_type, usual), factor in zip(HUMAN_MINUTES.items(), drawn.tolist(), strict=True):
            minutes = round(usual * factor, 1)
            yield TaskTime(task_type=task_type, human_minutes=minutes, source=SOURCE, timestamp=noon)


def tenants(world: World = WORLD) -> list[Tenant]:
    """Who the traffic belongs to."""
    return [customer.record() for customer in world.customers]


def deployments(start: datetime, end: datetime, *, world: World = WORLD) -> Iterator[Deployment]:
    """What was rolled out between two times: template versions, and the experiment's start."""
    first = start.astimezone(UTC).date()
    for n in range((end - start).days + 2):
        today = first + timedelta(days=n)
        ordinal = today.toordinal()
        noon = datetime.combine(today, time(12), UTC)
        for customer, template in world.series:
            if releases_on(template, ordinal) and start <= noon < end:
                number = version(template, ordinal + 1)
                yield Deployment(
                    timestamp=noon,
                    tenant_id=customer.tenant_id,
                    prompt_template_version=records.template_version(template.name, number),
                    version=f"{template.name} {number}",
                    description=f"Prompt template {template.name} released as v{number}",
                )
            begins = ordinal % world.experiment.every_days == 0
            midnight = datetime.combine(today, time(0), UTC)
            if template.experiment and begins and start <= midnight < end:
                yield Deployment(
                    timestamp=midnight,
                    tenant_id=customer.tenant_id,
                    prompt_template_version=records.template_version(template.name, 3),
                    version=world.experiment.experiment_id,
                    description=f"Experiment {world.experiment.experiment_id} started on {template.name}",
                )


def _labelled(rng: np.random.Generator, calls: Calls, judged: Ints) -> Ints:
    """A few judged calls of a day, as many bad ones as good: a calibration set needs the whole range."""
    if not len(judged):
        return judged
    kinds = calls.answer[judged]
    weight = 1 / np.bincount(kinds, minlength=kinds.max() + 1)[kinds]
    size = min(_LABELLED_A_DAY, len(judged))
    return np.sort(rng.choice(judged, size, replace=False, p=weight / weight.sum()))


def _where(mask: NDArray[np.bool_]) -> Ints:
    return np.flatnonzero(mask).astype(np.int64)


def _after(calls: Calls, i: int, seconds: float) -> datetime:
    latency_us = int(calls.latency_ms[i] * 1000)
    return records.at(int(calls.at_us[i]) + latency_us + int(seconds * 1_000_000))


def _user(calls: Calls, i: int, world: World) -> str:
    return f"{_tenant(calls, i, world)}-user-{int(calls.user[i]):04d}"


def _tenant(calls: Calls, i: int, world: World) -> str:
    return world.series[int(calls.series[i])][0].tenant_id
