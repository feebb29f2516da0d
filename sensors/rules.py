"""The decision: figures of every series and window in, a verdict for each series out. Pure and vectorised.

A figure that is not known is NaN, and no condition holds for it: unknown is not zero, and not normal either
(:class:`State` says which of the two it was).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

from sensors.policy import Gates, Level, Rule, Window

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class State(IntEnum):
    """What is known about one measure of one series."""

    NO_DATA = 0
    # There is a past to compare with, but the window holds too little.
    NOT_ENOUGH_DATA = 1
    # The past is too short or missing.
    COLD = 2
    KNOWN = 3


@dataclass(frozen=True)
class Measure:
    """One measure (cost or quality) of every series in one frame, as arrays of equal length.

    ``now`` and ``expected`` are USD per call or scores; what is expected is made of the baselines of the same
    mix of templates. ``z`` is in standard deviations. ``count`` are priced calls or scores in the frame.
    ``coverage`` is the share of them that has a baseline, ``hours`` and ``past`` what that rests on.
    """

    now: Floats
    expected: Floats
    z: Floats
    count: Floats
    coverage: Floats
    past: Floats
    hours: Floats

    @property
    def ratio(self) -> Floats:
        """Now ÷ expected; NaN where unknown."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.expected > 0, self.now / self.expected, np.nan)

    def state(self, min_count: int, min_past: int, gates: Gates) -> Ints:
        """:class:`State` of each series, given what the window and the baseline must hold."""
        cold = (
            ~np.isfinite(self.ratio)
            | (self.coverage < gates.min_coverage)
            | (self.past < min_past)
            | (self.hours < gates.min_baseline_hours)
        )
        state = np.where(cold, State.COLD, State.KNOWN)
        state = np.where(~cold & (self.count < min_count), State.NOT_ENOUGH_DATA, state)
        return np.where(self.count <= 0, State.NO_DATA, state).astype(np.int64)


@dataclass(frozen=True)
class Figures:
    """Both measures of every series in one frame."""

    cost: Measure
    quality: Measure


@dataclass(frozen=True)
class Verdicts:
    """One entry per series.

    ``level`` and ``rule`` (index in the policy's rules, −1 for none) of the loudest rule that fires,
    ``window`` the shortest window in which it does. ``holding``: the change is still there, at half of a
    rule's distance or more (what keeps an open alert open). ``cost_state`` and ``quality_state`` are those of
    the longest window.
    """

    level: Ints
    rule: Ints
    window: Ints
    holding: Bools
    cost_state: Ints
    quality_state: Ints


def decide(
    now: Sequence[Figures],
    earlier: Sequence[Figures],
    recent: Sequence[Figures | None],
    windows: Sequence[Window],
    rules: Mapping[str, Rule],
    gates: Gates,
    max_level: Level = Level.PAGE,
    admitted: Sequence[Bools] | None = None,
) -> Verdicts:
    """Judge every series.

    A rule fires in a window where its conditions hold in the window as it is now and as it was
    ``persistence_minutes`` ago, with enough data and significance each time, and where the end of the window
    still shows at least half of the rule's distance: a blip that is over fires nothing.

    Args:
        now: figures of each window.
        earlier: the same, shifted back by the window's persistence.
        recent: figures of each window's end; none for the shortest.
        windows: what each window demands.
        rules: the rules in order; of equally loud ones the first that fires is named.
        gates: what baselines must rest on.
        max_level: levels above are lowered to it (experiments never page).
        admitted: for each window, the series that may fire in it (not those whose window reaches back into an
            incident that is over); none: all.
    """
    size = now[0].cost.count.size
    level = np.zeros(size, np.int64)
    fired = np.full(size, -1, np.int64)
    found_in = np.full(size, -1, np.int64)
    holding = np.zeros(size, np.bool_)
    ordered = sorted(enumerate(rules.values()), key=lambda item: (-item[1].level, item[0]))
    for index, window in enumerate(windows):
        cost, quality = _known(now[index], window, gates)
        before_cost, before_quality = _known(earlier[index], window, gates)
        end = recent[index]
        for number, rule in ordered:
            loud = min(rule.level, max_level)
            still = np.ones(size, np.bool_)
            if end is not None:
                due = now[index].cost.count * windows[index - 1].minutes / window.minutes
                still = _still(rule, end, due)
            fires = _fires(rule, now[index], cost, quality, window.significance) & still
            if window.persistence_minutes:
                fires &= _fires(rule, earlier[index], before_cost, before_quality, window.significance)
            louder = fires & (loud > level) & (True if admitted is None else admitted[index])
            level[louder], fired[louder], found_in[louder] = loud, number, index
            holding |= fires | (_fires(rule, now[index], cost, quality, 0.0, distance=0.5) & still)
    longest, demands = now[-1], windows[-1]
    return Verdicts(
        level,
        fired,
        found_in,
        holding,
        longest.cost.state(demands.min_requests, gates.min_baseline_requests, gates),
        longest.quality.state(demands.min_evaluations, gates.min_baseline_evaluations, gates),
    )


def _known(figures: Figures, window: Window, gates: Gates) -> tuple[Bools, Bools]:
    """Where cost and where quality may be judged."""
    cost = figures.cost.state(window.min_requests, gates.min_baseline_requests, gates)
    quality = figures.quality.state(window.min_evaluations, gates.min_baseline_evaluations, gates)
    return cost == State.KNOWN, quality == State.KNOWN


def _fires(
    rule: Rule, figures: Figures, cost: Bools, quality: Bools, significance: float, distance: float = 1.0
) -> Bools:
    """Where all conditions of a rule hold at this share of their distance (in logarithms, for ratios)."""
    holds = np.ones(cost.size, np.bool_)
    if rule.needs_cost:
        holds &= cost
        if significance:
            holds &= figures.cost.z >= significance
    if rule.needs_quality:
        holds &= quality
        if significance:
            holds &= figures.quality.z <= -significance
    # Comparisons with NaN are false: what is not known never fires.
    if rule.cost_ratio_above is not None:
        holds &= figures.cost.ratio > rule.cost_ratio_above**distance
    if rule.cost_z_above is not None:
        holds &= figures.cost.z > rule.cost_z_above * distance
    if rule.quality_ratio_below is not None:
        holds &= figures.quality.ratio < rule.quality_ratio_below**distance
    if rule.quality_z_below is not None:
        holds &= figures.quality.z < rule.quality_z_below * distance
    return holds


# Calls and scores below which the end of a window says nothing about whether the change is still there, and
# how improbable so few calls must be, at the window's own rate, to say that it is not.
_SAYS_SOMETHING = 3
_IMPROBABLE = 0.05


def _still(rule: Rule, end: Figures, due: Floats) -> Bools:
    """Where the end of the window shows half of the rule's distance, or too little to tell.

    ``due`` is how many calls it would hold at the window's rate: a series that stopped is not regressing any
    more.
    """
    still: Bools = ~((end.cost.count < _SAYS_SOMETHING) & (pdtr(end.cost.count, due) < _IMPROBABLE))
    if rule.needs_cost:
        least = (rule.cost_ratio_above or 1.0) ** 0.5
        still &= ~((end.cost.count >= _SAYS_SOMETHING) & (end.cost.ratio <= least))
    if rule.needs_quality:
        most = (rule.quality_ratio_below or 1.0) ** 0.5
        still &= ~((end.quality.count >= _SAYS_SOMETHING) & (end.quality.ratio >= most))
    return still
