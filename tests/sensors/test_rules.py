"""The decision, without a store: each rule at its threshold, each gate, and that worse is never quieter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.policy import Gates, Level, Window, load
from sensors.rules import Figures, Measure, State, Verdicts, decide

LITERAL = load(name="literal")
DEFAULT = load()
NAN = float("nan")


def measure(
    ratio: float | list[float], z: float | list[float], count: float = 1000, hours: float = 200
) -> Measure:
    ratios = np.atleast_1d(np.asarray(ratio, np.float64))
    size = ratios.size

    def full(value: float) -> np.ndarray:
        return np.full(size, value, np.float64)

    known = np.isfinite(ratios)
    return Measure(
        now=ratios,
        expected=np.where(known, 1.0, NAN),
        z=np.broadcast_to(np.asarray(z, np.float64), size).copy(),
        count=full(count),
        coverage=np.where(known, 1.0, 0.0),
        past=np.where(known, 5000.0, 0.0),
        hours=np.where(known, hours, 0.0),
    )


def figures(
    cost: float, quality: float, *, cost_z: float = 0, quality_z: float = 0, **size: float
) -> Figures:
    return Figures(
        measure(cost, cost_z, size.get("requests", 1000)),
        measure(quality, quality_z, size.get("scores", 1000)),
    )


def literal(at: Figures) -> tuple[Level, str]:
    verdicts = decide([at], [at], [None], LITERAL.windows, LITERAL.rules, LITERAL.gates)
    return Level(int(verdicts.level[0])), ([*LITERAL.rules, ""])[int(verdicts.rule[0])]


@pytest.mark.parametrize(
    ("cost", "quality", "cost_z", "expected"),
    [
        # cost p50 > 1.5 × and quality p50 < 0.85 ×
        (1.51, 0.84, 0.0, (Level.PAGE, "dual-cost-led")),
        (1.50, 0.84, 0.0, (Level.NONE, "")),
        (1.51, 0.85, 0.0, (Level.NONE, "")),
        # quality p50 < 0.70 × and cost p50 > 1.2 ×
        (1.21, 0.69, 0.0, (Level.PAGE, "dual-quality-led")),
        # quality ratio < 0.70 alone
        (1.20, 0.69, 0.0, (Level.PAGE, "severe-quality")),
        (0.50, 0.69, 0.0, (Level.PAGE, "severe-quality")),
        (1.20, 0.70, 0.0, (Level.NONE, "")),
        # cost z > 2 and quality ratio < 0.85
        (1.10, 0.84, 2.1, (Level.PAGE, "z-cost-led")),
        (1.10, 0.84, 2.0, (Level.NONE, "")),
        (1.10, 0.85, 2.1, (Level.NONE, "")),
        # cost z > 3, quality stable
        (1.10, 1.00, 3.1, (Level.INVESTIGATE, "cost-spike")),
        (1.10, 1.00, 3.0, (Level.NONE, "")),
        (0.33, 1.20, -9.0, (Level.NONE, "")),
    ],
)
def test_each_rule_at_its_threshold(
    cost: float, quality: float, cost_z: float, expected: tuple[Level, str]
) -> None:
    assert literal(figures(cost, quality, cost_z=cost_z)) == expected


def test_unknown_quality_never_pages_and_does_not_hide_a_cost_spike() -> None:
    assert literal(figures(9.0, NAN, cost_z=9.0)) == (Level.INVESTIGATE, "cost-spike")
    assert literal(figures(9.0, NAN, cost_z=0.0)) == (Level.NONE, "")


def test_unknown_cost_does_not_hide_a_severe_loss_of_quality() -> None:
    assert literal(figures(NAN, 0.6)) == (Level.PAGE, "severe-quality")
    assert literal(figures(NAN, 0.8)) == (Level.NONE, "")


def test_unknown_z_is_not_zero_and_not_infinite() -> None:
    assert literal(figures(1.1, 0.8, cost_z=NAN)) == (Level.NONE, "")


@pytest.mark.parametrize(
    ("ratio", "count", "past", "hours", "state"),
    [
        (1.0, 0, 5000, 200, State.NO_DATA),
        (1.0, 9, 5000, 200, State.NOT_ENOUGH_DATA),
        (1.0, 10, 5000, 200, State.KNOWN),
        (NAN, 10, 5000, 200, State.COLD),
        (1.0, 10, 199, 200, State.COLD),
        (1.0, 10, 5000, 23, State.COLD),
        (1.0, 9, 5000, 23, State.COLD),
    ],
)
def test_states(ratio: float, count: int, past: int, hours: int, state: State) -> None:
    one = replace(measure(ratio, 0.0, count, hours), past=np.array([float(past)]))
    gates = Gates(
        min_baseline_hours=24, min_baseline_requests=200, min_baseline_evaluations=50, min_coverage=0.5
    )
    assert State(int(one.state(10, 200, gates)[0])) is state


def default(now: Figures, earlier: Figures | None = None, recent: Figures | None = None) -> Verdicts:
    """One window of 15 minutes of the default policy, after one of 5 that never has enough."""
    windows = [w for w in DEFAULT.windows if w.minutes in (5, 15)]
    short = figures(1.0, 1.0, requests=0, scores=0)
    return decide(
        [short, now],
        [short, earlier or now],
        [None, recent or now],
        windows,
        DEFAULT.rules,
        DEFAULT.gates,
    )


BAD = figures(3.0, 0.6, cost_z=20, quality_z=-9)
WELL = figures(1.0, 1.0)


def test_evidence_is_demanded() -> None:
    assert default(BAD).level[0] == Level.PAGE
    assert default(replace_size(BAD, requests=9, scores=7)).level[0] == Level.NONE
    # Not significant: so few scores could have come out so by chance.
    assert default(figures(1.0, 0.6, quality_z=-2.9)).level[0] == Level.NONE


def test_a_blip_does_not_persist() -> None:
    assert default(BAD, earlier=WELL).level[0] == Level.NONE


def test_what_is_over_fires_nothing() -> None:
    assert default(BAD, recent=WELL).level[0] == Level.NONE
    assert not default(BAD, recent=WELL).holding[0]


def test_a_series_that_stopped_is_not_regressing_any_more() -> None:
    assert default(BAD, recent=replace_size(BAD, requests=0, scores=0)).level[0] == Level.NONE
    # One call every three minutes: two minutes of silence say nothing.
    slow = replace_size(BAD, requests=10, scores=10)
    assert default(slow, recent=replace_size(BAD, requests=1, scores=1)).level[0] == Level.PAGE


def test_an_alert_is_held_open_at_half_of_the_distance() -> None:
    halfway = figures(1.4, 0.8, cost_z=1, quality_z=-1)
    assert default(halfway).level[0] == Level.NONE
    assert default(halfway).holding[0]
    assert not default(figures(1.1, 0.97, cost_z=1, quality_z=-1)).holding[0]


def test_the_motivating_story_pages() -> None:
    """Cost × 3 and quality −12 %: crosses none of the given lines, far beyond chance in both."""
    story = figures(3.0, 0.88, cost_z=25, quality_z=-4)
    assert literal(story) == (Level.INVESTIGATE, "cost-spike")
    verdict = default(story)
    assert (verdict.level[0], list(DEFAULT.rules)[verdict.rule[0]]) == (Level.PAGE, "dual-significant")


def test_a_cheaper_or_better_model_is_no_regression() -> None:
    assert default(figures(0.4, 1.0, cost_z=-20)).level[0] == Level.NONE
    assert default(figures(1.0, 1.3, quality_z=9)).level[0] == Level.NONE


def test_experiments_never_page() -> None:
    verdict = decide(
        [BAD], [BAD], [None], DEFAULT.windows[:1], DEFAULT.rules, DEFAULT.gates, Level.INVESTIGATE
    )
    assert verdict.level[0] == Level.INVESTIGATE


def test_windows_that_are_not_admitted_do_not_fire() -> None:
    both = Figures(measure([3.0, 3.0], 20), measure([0.6, 0.6], -9))
    verdict = decide(
        [both],
        [both],
        [None],
        DEFAULT.windows[:1],
        DEFAULT.rules,
        DEFAULT.gates,
        admitted=[np.array([True, False])],
    )
    assert verdict.level.tolist() == [Level.PAGE, Level.NONE]
    assert verdict.holding.all()


def test_series_are_judged_independently() -> None:
    ratios, qualities = [3.0, 1.0, NAN, 1.0], [0.6, 1.0, NAN, 0.6]
    together = Figures(measure(ratios, 0.0), measure(qualities, 0.0))
    verdicts = decide([together], [together], [None], LITERAL.windows, LITERAL.rules, LITERAL.gates)
    alone = [literal(figures(c, q))[0] for c, q in zip(ratios, qualities, strict=True)]
    assert verdicts.level.tolist() == alone == [Level.PAGE, Level.NONE, Level.NONE, Level.PAGE]


def replace_size(at: Figures, *, requests: float, scores: float) -> Figures:
    return Figures(
        replace(at.cost, count=np.full_like(at.cost.count, requests)),
        replace(at.quality, count=np.full_like(at.quality.count, scores)),
    )


ratio = st.floats(0.05, 20)
z = st.floats(-30, 30)


@given(
    cost=ratio, quality=ratio, cost_z=z, quality_z=z,
    dearer=st.floats(1, 5), worse=st.floats(0.1, 1), more_z=st.floats(0, 20),
    rates=st.tuples(st.integers(1, 200), st.integers(1, 200)), policy=st.sampled_from([DEFAULT, LITERAL]),
)  # fmt: skip
def test_worse_is_never_quieter(
    cost, quality, cost_z, quality_z, dearer, worse, more_z, rates, policy
) -> None:  # type: ignore[no-untyped-def]
    """Raising cost and lowering quality, with their evidence, never lowers the level."""

    def level(at: Figures) -> int:
        return int(
            decide(
                [at] * len(policy.windows),
                [at] * len(policy.windows),
                [None, *[at] * (len(policy.windows) - 1)],
                policy.windows,
                policy.rules,
                policy.gates,
            ).level[0]
        )

    size = {"requests": rates[0], "scores": rates[1]}
    before = figures(cost, quality, cost_z=cost_z, quality_z=quality_z, **size)
    after = figures(
        cost * dearer, quality * worse, cost_z=cost_z + more_z, quality_z=quality_z - more_z, **size
    )
    assert level(after) >= level(before)


@given(st.lists(st.tuples(ratio, ratio, z, z), min_size=1, max_size=30))
def test_the_order_of_series_does_not_matter(rows: list[tuple[float, float, float, float]]) -> None:
    columns = np.array(rows).T
    at = Figures(measure(list(columns[0]), columns[2]), measure(list(columns[1]), columns[3]))
    back = Figures(
        measure(list(columns[0][::-1]), columns[2][::-1]), measure(list(columns[1][::-1]), columns[3][::-1])
    )
    window = [Window(minutes=15, min_requests=1, min_evaluations=1, persistence_minutes=0, significance=3)]
    forward = decide([at], [at], [None], window, DEFAULT.rules, DEFAULT.gates)
    backward = decide([back], [back], [None], window, DEFAULT.rules, DEFAULT.gates)
    assert forward.level.tolist() == backward.level.tolist()[::-1]
    assert forward.rule.tolist() == backward.rule.tolist()[::-1]
