"""The series of one scope and what the rules say of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from sensors.policy import Level, Policy, Rule, Scope
from sensors.readings import Frame, Readings
from sensors.rules import Figures, Measure, Verdicts, decide
from sensors.scopes import Series, series_of

# Tenant and cohort.
Key = tuple[str, str]


@dataclass(frozen=True)
class Judged:
    """One scope's series, their verdicts, and the rules and windows by which they were judged."""

    series: Series
    verdicts: Verdicts
    # Number of each series' policy.
    variant: NDArray[np.int64]
    policies: list[tuple[Policy, Mapping[str, Rule]]]


def judged_of(readings: Readings, policy: Policy, scope: Scope, blocked: Mapping[Key, datetime]) -> Judged:
    """Judge every series of a scope.

    Args:
        blocked: times before which no window of a tenant and cohort may reach.
    """
    series = series_of(readings, policy, scope)
    size = series.tenant.size
    variants, policies = _variants(series, policy)
    verdicts = Verdicts(
        level=np.zeros(size, np.int64),
        rule=np.full(size, -1, np.int64),
        window=np.full(size, -1, np.int64),
        holding=np.zeros(size, np.bool_),
        cost_state=np.zeros(size, np.int64),
        quality_state=np.zeros(size, np.int64),
    )
    # How many minutes before the end a window of the series may reach.
    reach = np.full(size, np.inf)
    for key, since in blocked.items():
        mine = (series.tenant == key[0]) & (series.cohort == key[1])
        reach[mine] = (readings.end - since).total_seconds() / 60
    frames = readings.frames
    for number, (own, rules) in enumerate(policies):
        rows = np.flatnonzero(variants == number)
        if not rows.size or not rules:
            continue
        experiment = series.cohort[rows[0]] == "experiment"
        part = decide(
            [_of(series, frame, rows) for frame in frames.now],
            [_of(series, frame, rows) for frame in frames.earlier],
            [None if frame is None else _of(series, frame, rows) for frame in frames.recent],
            own.windows,
            rules,
            own.gates,
            own.experiment.max_level if experiment else Level.PAGE,
            [reach[rows] >= frame.begin for frame in frames.earlier],
        )
        for name, values in vars(part).items():
            getattr(verdicts, name)[rows] = values
    return Judged(series, verdicts, variants, policies)


def _variants(
    series: Series, policy: Policy
) -> tuple[NDArray[np.int64], list[tuple[Policy, Mapping[str, Rule]]]]:
    """Which policy each series is judged by: production and experiments, of the common policy and of each
    tenant that has its own.
    """
    common = [policy, *policy.by_tenant.values()]
    numbers = {tenant: n for n, tenant in enumerate(policy.by_tenant, start=1)}
    variant = np.zeros(series.tenant.size, np.int64)
    for tenant, number in numbers.items():
        variant[series.tenant == tenant] = number
    variant += np.where(series.cohort == "experiment", len(common), 0)
    experiments = [
        (each, (each.rules if each.experiment.rules is None else each.experiment.rules))
        if each.experiment.enabled
        else (each, {})
        for each in common
    ]
    return variant, [*((each, each.rules) for each in common), *experiments]


def _of(series: Series, frame: Frame, rows: NDArray[np.int64]) -> Figures:
    figures = series.figures[frame]

    def part(measure: Measure) -> Measure:
        return Measure(**{name: values[rows] for name, values in vars(measure).items()})

    return Figures(part(figures.cost), part(figures.quality))
