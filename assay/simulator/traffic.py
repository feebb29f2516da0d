"""The traffic model: calls as columns of numpy arrays, all drawn from one generator.

Arrival: a Poisson process per template whose rate follows the hour of the day, the day of the week and,
from day to day, chance. Tokens: log-normal. Latency: time to first token grows with the uncached prompt,
the rest with the answer. Worth: each answer is one of ``texts.ANSWERS`` about one of ``texts.DOCUMENTS``,
and its score is what the simulated judge would give it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from assay.simulator import texts
from assay.simulator.judging import assess
from assay.simulator.world import MODELS, WORLD, Customer, Shift, Template, World, releases_on, version

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Strings = NDArray[np.object_]

SEED: Final = 20_260_101

STATUSES: Final = ("ok", "error", "aborted")
# Providers publish 99.5 % and better; users close a tab now and then.
_STATUS_SHARES: Final = (0.993, 0.005, 0.002)
ERRORS: Final = ("rate_limit", "overloaded", "timeout")
# Spread of a judge that reads the same answer again.
JUDGE_NOISE: Final = 0.03
# People and judge see the same answer differently.
HUMAN_NOISE: Final = 0.07

_MODEL_NAMES: Final = tuple(MODELS)
_FIRST_TOKEN: Final = np.array([m.first_token_ms for m in MODELS.values()])
_PER_TOKEN: Final = np.array([m.ms_per_token for m in MODELS.values()])
# Prefill of a long prompt: about 6,000 tokens a second.
_PREFILL_MS: Final = 0.16


@dataclass(frozen=True)
class Calls:
    """Calls as columns of equal length, in no order.

    Attributes:
        series: position in ``World.series``.
        at_us: Unix time of the start, microseconds.
        model: position in ``MODELS``.
        version: of the prompt template.
        prompt, completion, cached: tokens; ``prompt`` includes ``cached``.
        ttft_ms, latency_ms: NaN where there was no answer.
        status, error: position in ``STATUSES``; in ``ERRORS``.
        user: number of the user; -1: nobody behind the call.
        arm: of the experiment: 0 none, 1 control, 2 treatment.
        document, answer: position in ``texts.DOCUMENTS`` and ``texts.ANSWERS``.
        worth: latent quality, 0 to 1: what people's labels scatter around.
        score: what the judge gives.
        trace: trace ids.
    """

    series: Ints
    at_us: Ints
    model: Ints
    version: Ints
    prompt: Ints
    completion: Ints
    cached: Ints
    ttft_ms: Floats
    latency_ms: Floats
    status: Ints
    error: Ints
    user: Ints
    arm: Ints
    document: Ints
    answer: Ints
    worth: Floats
    score: Floats
    trace: Strings

    def __len__(self) -> int:
        return len(self.at_us)

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """Some of the calls, by position or mask."""
        return type(self)(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    @classmethod
    def concatenate(cls, parts: Sequence[Calls]) -> Calls:
        """All calls of several."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


def day_of_calls(day: date, *, seed: int = SEED, world: World = WORLD, volume: float = 1.0) -> Calls:
    """Every call of one UTC day, in order of time. The same day and seed always give the same calls."""
    rng = np.random.default_rng((seed, day.toordinal()))
    midnight_us = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
    parts = []
    for index, (customer, template) in enumerate(world.series):
        rates = hourly_rates(customer, template, day) * volume * rng.lognormal(-0.005, 0.1)
        counts = rng.poisson(rates)
        hours = np.repeat(np.arange(24), counts)
        at_us = midnight_us + ((hours + rng.random(len(hours))) * 3_600e6).astype(np.int64)
        parts.append(calls(rng, index, at_us, world=world))
    found = Calls.concatenate(parts)
    return found.take(np.argsort(found.at_us, kind="stable"))


def hourly_rates(customer: Customer, template: Template, day: date) -> Floats:
    """Expected calls in each UTC hour of a day: a daily wave around the peak, and weekends."""
    hours = np.arange(24) + 0.5
    wave = 1 + 0.85 * np.cos((hours - customer.peak_hour) / 24 * 2 * np.pi)
    weekend = customer.weekend if day.weekday() >= 5 else 1.0
    return np.asarray(template.per_day / 24 * wave * weekend, dtype=np.float64)


def calls(
    rng: np.random.Generator, index: int, at_us: Ints, *, world: World = WORLD, shift: Shift | None = None
) -> Calls:
    """Calls of one template at given times.

    Args:
        rng: everything random comes from it.
        index: of the template in ``World.series``.
        at_us: Unix microseconds.
        world: who and what.
        shift: the incident, where it is in force.
    """
    n = len(at_us)
    _, template = world.series[index]
    model = _models(rng, template, n, shift)
    days = at_us // 86_400_000_000 + date(1970, 1, 1).toordinal()
    arm = _arms(rng, template, days, world)
    treated = arm == 2

    factor = np.where(treated, world.experiment.prompt_factor, 1.0) * (shift.prompt_factor if shift else 1.0)
    prompt = np.maximum(16, template.prompt * factor * rng.lognormal(0, template.spread, n)).astype(np.int64)
    completion = np.maximum(1, template.completion * rng.lognormal(0, template.spread, n)).astype(np.int64)
    hit = rng.random(n) < template.cache_hits
    # Providers count cached prefixes in blocks of 128 tokens.
    cached = np.where(hit, (template.prefix * template.prompt * factor * 0.9) // 128 * 128, 0).astype(
        np.int64
    )
    cached = np.minimum(cached, prompt)

    status = rng.choice(len(STATUSES), n, p=_STATUS_SHARES)
    failed, aborted = status == 1, status == 2
    completion = np.where(aborted, np.maximum(1, (completion * rng.random(n)).astype(np.int64)), completion)
    completion = np.where(failed, 0, completion)
    ttft = (_FIRST_TOKEN[model] + _PREFILL_MS * (prompt - cached)) * rng.lognormal(0, 0.22, n)
    latency = ttft + _PER_TOKEN[model] * completion * rng.lognormal(0, 0.15, n)

    document, answer = _answers(rng, template, treated, world, shift, n)
    worth = np.clip(_scores()[document, answer] + rng.normal(0, 0.04, n), 0, 1)
    score = np.clip(np.round(_scores()[document, answer] + rng.normal(0, JUDGE_NOISE, n), 2), 0, 1)
    customer = world.series[index][0]
    # A few users make most of the calls.
    user = (rng.random(n) ** 2 * customer.users).astype(np.int64) if customer.users else np.full(n, -1)
    return Calls(
        series=np.full(n, index),
        at_us=np.asarray(at_us, dtype=np.int64),
        model=model,
        version=_versions(template, at_us, days),
        prompt=prompt,
        completion=completion,
        cached=np.where(failed, 0, cached),
        ttft_ms=np.where(failed, np.nan, np.round(ttft, 1)),
        latency_ms=np.round(latency, 1),
        status=status,
        error=rng.integers(0, len(ERRORS), n),
        user=user,
        arm=arm,
        document=document,
        answer=answer,
        worth=worth,
        score=score,
        trace=_ids(rng, n),
    )


def model_name(position: int) -> str:
    """Name of a model by its position in ``Calls.model``."""
    return _MODEL_NAMES[position]


@cache
def _scores() -> Floats:
    """What the simulated judge gives to each answer (columns) about each document (rows)."""
    return np.array(
        [
            [assess(d.question, " ".join(d.facts), texts.answer_text(d, answer)) for answer in texts.ANSWERS]
            for d in texts.DOCUMENTS
        ]
    )


def _models(rng: np.random.Generator, template: Template, n: int, shift: Shift | None) -> Ints:
    if shift is not None:
        return np.full(n, _MODEL_NAMES.index(shift.model))
    names, shares = zip(*template.models, strict=True)
    positions = np.array([_MODEL_NAMES.index(name) for name in names])
    return positions[rng.choice(len(positions), n, p=shares)]


def _arms(rng: np.random.Generator, template: Template, days: Ints, world: World) -> Ints:
    n = len(days)
    if not template.experiment:
        return np.zeros(n, dtype=np.int64)
    running = days % world.experiment.every_days < world.experiment.days
    taken = running & (rng.random(n) < template.experiment)
    return np.where(taken, rng.integers(1, 3, n), 0)


def _answers(
    rng: np.random.Generator,
    template: Template,
    treated: NDArray[np.bool_],
    world: World,
    shift: Shift | None,
    n: int,
) -> tuple[Ints, Ints]:
    documents = np.array(texts.document_indices(template.topic))
    usual = shift.answers if shift else template.answers
    answer = rng.choice(len(texts.ANSWERS), n, p=usual)
    if treated.any():
        answer = np.where(treated, rng.choice(len(texts.ANSWERS), n, p=world.experiment.answers), answer)
    return documents[rng.integers(0, len(documents), n)], answer


def _versions(template: Template, at_us: Ints, days: Ints) -> Ints:
    """Releases are at noon: the version of the day, and after noon of a release day the next one's."""
    if not template.released_every_days:
        return np.full(len(at_us), 3)
    found = np.empty(len(at_us), dtype=np.int64)
    afternoon = at_us % 86_400_000_000 >= 43_200_000_000
    for day in np.unique(days):
        today = days == day
        late = releases_on(template, int(day))
        before = version(template, int(day))
        found[today] = np.where(afternoon[today] & late, version(template, int(day) + 1), before)
    return found


def _ids(rng: np.random.Generator, n: int) -> Strings:
    digits = rng.bytes(16 * n).hex()
    return np.array([digits[i * 32 : i * 32 + 32] for i in range(n)], dtype=object)


def between(
    start: datetime, end: datetime, *, seed: int = SEED, world: World = WORLD, volume: float = 1.0
) -> Calls:
    """Every call from ``start`` to before ``end``, in order of time."""
    first, last = start.astimezone(UTC).date(), end.astimezone(UTC).date()
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    found = Calls.concatenate([day_of_calls(d, seed=seed, world=world, volume=volume) for d in days])
    low, high = (int(moment.timestamp() * 1_000_000) for moment in (start, end))
    return found.take((found.at_us >= low) & (found.at_us < high))


def shares(world: World = WORLD) -> Floats:
    """Share of each template in a weekday's traffic."""
    per_day = np.array([template.per_day for _, template in world.series])
    return np.asarray(per_day / per_day.sum(), dtype=np.float64)


def shifted(world: World = WORLD) -> Mapping[int, Shift]:
    """Which series the incident touches, and how."""
    return {
        index: world.shift
        for index, (customer, template) in enumerate(world.series)
        if (customer.tenant_id, template.name) == (world.shift.tenant_id, world.shift.template)
    }
