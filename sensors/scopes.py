"""From readings by stratum to figures by scope: like is compared with like, then added up.

For the tenant (and the model) each template is referred to its own baseline, and the parts are added with the
weights of the mix as it is now::

    now       Σ n_t · median_t / Σ n_t             over templates t with a baseline
    expected  Σ n_t · baseline_t / Σ n_t
    variance  (Σ n_t · std_t)² + Σ n_t² · 1.57 · spread_t² / n_t,   over (Σ n_t)²

Requests that move between unchanged templates change both sides alike, so a shift of mix moves no ratio.
Hour-to-hour spreads add up linearly, because what moves them (the judge, the provider) moves all templates
together; sampling errors are independent. π/2 = 1.57 is the variance of a median of normal values relative to
that of their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.policy import Policy, Scope
from sensors.readings import STRATA, Frame, Names, Readings
from sensors.rules import Figures, Floats, Measure

_MEDIAN_VARIANCE = np.pi / 2
_Objects = NDArray[np.object_]


@dataclass(frozen=True)
class Series:
    """Every series of one scope, and its figures in every frame."""

    scope: Scope
    tenant: _Objects
    cohort: _Objects
    model: _Objects
    template: _Objects
    # The evaluator whose scores count for the series; empty where there is none.
    evaluator: _Objects
    # How far up its past was borrowed from, at most (see Readings.inherited).
    inherited: NDArray[np.int64]
    figures: Mapping[Frame, Figures]


def series_of(readings: Readings, policy: Policy, scope: Scope) -> Series:
    """Figures of every series of a scope."""
    level = STRATA[scope] if policy.like_for_like else scope
    usable = (readings.level.codes == readings.level.number(level)) & (
        ~readings.quality | (readings.evaluator.codes == _evaluators(readings))
    )
    rows = np.flatnonzero(usable)
    by = [readings.tenant, readings.cohort]
    by += [readings.model] if scope == "model" else []
    by += [readings.template] if scope == "template" else []
    code, first = _grouped(by, rows)
    scores = readings.quality[rows]
    evaluator = np.full(first.size, "", dtype=object)
    evaluator[code[scores]] = readings.evaluator.at(rows[scores])
    inherited = np.zeros(first.size, np.int64)
    np.maximum.at(inherited, code, readings.inherited[rows])
    frames = readings.frames.all
    cost = _measure(readings, policy, rows[~scores], code[~scores], first.size, len(frames))
    quality = _measure(readings, policy, rows[scores], code[scores], first.size, len(frames))
    blank = np.full(first.size, "", dtype=object)
    return Series(
        scope,
        tenant=readings.tenant.at(first),
        cohort=readings.cohort.at(first),
        model=readings.model.at(first) if scope == "model" else blank,
        template=readings.template.at(first) if scope == "template" else blank,
        evaluator=evaluator,
        inherited=inherited,
        figures={frame: Figures(cost[n], quality[n]) for n, frame in enumerate(frames)},
    )


def _evaluators(readings: Readings) -> NDArray[np.int64]:
    """For each row, the number of the evaluator whose scores count for its tenant and cohort, −1 for none:
    the one with a baseline and the most scores. Scores of different evaluators are never mixed.
    """
    whose, _ = _grouped([readings.tenant, readings.cohort], np.arange(readings.frame.size))
    chosen = np.full(int(whose.max(initial=-1)) + 1, -1, np.int64)
    scores = np.flatnonzero(readings.quality)
    if scores.size:
        group, first = _grouped([readings.tenant, readings.cohort, readings.evaluator], scores)
        # One without a baseline is taken only where no other has one.
        known = np.where(np.isfinite(readings.baseline[scores]), 1.0, 1e-9)
        weight = np.bincount(group, readings.count[scores] * known, first.size)
        # Written in growing order: the heaviest stays.
        order = np.argsort(weight, kind="stable")
        chosen[whose[first[order]]] = readings.evaluator.codes[first[order]]
    return np.asarray(chosen[whose], dtype=np.int64)


def _grouped(by: list[Names], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A number for each distinct combination of names, for every one of ``rows``; and a row of each."""
    code = np.zeros(rows.size, np.int64)
    for names in by:
        _, code = np.unique(code * max(names.values.size, 1) + names.codes[rows], return_inverse=True)
    _, first, code = np.unique(code, return_index=True, return_inverse=True)
    return code.astype(np.int64), rows[first]


def _measure(
    readings: Readings, policy: Policy, rows: NDArray[np.int64], code: NDArray[Any], size: int, frames: int
) -> list[Measure]:
    """One measure of every series in every frame."""
    slot = code * frames + readings.frame[rows]

    def total(values: Floats) -> Floats:
        return np.asarray(np.bincount(slot, values, size * frames), dtype=np.float64)

    n = readings.count[rows]
    now, baseline, reference = readings.median[rows], readings.baseline[rows], readings.reference[rows]
    std, spread = readings.std[rows], readings.spread[rows]
    past, hours = readings.baseline_count[rows], readings.baseline_hours[rows]
    comparable = np.isfinite(baseline) & np.isfinite(now)
    weight = np.where(comparable, n, 0.0)
    referred = comparable & np.isfinite(reference)
    z_weight = np.where(referred, n, 0.0)
    floor = policy.min_relative_spread * np.abs(np.nan_to_num(baseline))
    with np.errstate(divide="ignore", invalid="ignore"):
        if policy.sampling_error:
            single = _MEDIAN_VARIANCE * np.square(spread)
            # Hourly medians of few calls differ by chance alone; that part is counted below, for this
            # window's size.
            between = np.sqrt(np.maximum(np.square(std) - single * hours / past, 0.0))
            sampling = single / n
        else:
            between, sampling = std, np.zeros(n.size)
        between = np.maximum(between, floor)

        def sums(values: Floats, by: Floats) -> Floats:
            return total(np.where(by > 0, by * np.nan_to_num(values), 0.0))

        whole, covered, referred_n = total(n), total(weight), total(z_weight)
        distance = sums(now, z_weight) - sums(reference, z_weight)
        variance = np.square(sums(between, z_weight)) + total(
            np.square(z_weight) * np.nan_to_num(np.where(referred, sampling, 0.0))
        )
        columns = Measure(
            now=sums(now, weight) / covered,
            expected=sums(baseline, weight) / covered,
            z=np.where(referred_n > 0, distance / np.sqrt(variance), np.nan),
            count=whole,
            coverage=np.where(whole > 0, covered / whole, 0.0),
            # A whole is as well known as its parts are on average.
            past=np.where(covered > 0, sums(past, weight) / covered, 0.0),
            hours=np.where(covered > 0, sums(hours, weight) / covered, 0.0),
        )
    by_frame = {name: values.reshape(size, frames) for name, values in vars(columns).items()}
    return [Measure(**{name: values[:, n] for name, values in by_frame.items()}) for n in range(frames)]
