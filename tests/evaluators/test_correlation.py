"""Rank correlation and its interval."""

from __future__ import annotations

from math import atanh, sqrt, tanh

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluators import correlation
from evaluators.correlation import Floats, kendall, spearman, spearman_interval

_Values = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=30)


@given(pairs=_Values, data=st.data())
def test_weights_stand_for_copies(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    """Ranks under weights are those of the pairs repeated that often, ties and all."""
    copies = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs))))
    x, y = np.array(pairs, dtype=np.float64).T

    weights = copies[None, :].astype(np.float64)
    if weights.sum() == 0:
        return
    found = correlation._weighted_correlation(
        correlation._Ranker(x)(weights), correlation._Ranker(y)(weights), weights
    )

    repeated_x, repeated_y = np.repeat(x, copies), np.repeat(y, copies)
    if len(repeated_x) < 2 or np.ptp(repeated_x) == 0 or np.ptp(repeated_y) == 0:
        assert not np.isfinite(found[0]) or found[0] == pytest.approx(0)
    else:
        assert found[0] == pytest.approx(stats.spearmanr(repeated_x, repeated_y).statistic)


def correlated(n: int, rho: float, seed: int) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    return x, rho * x + sqrt(1 - rho**2) * random.normal(size=n)


@pytest.mark.parametrize(("n", "rho"), [(100, 0.3), (400, 0.5), (400, -0.6)])
def test_the_interval_is_about_fishers(n: int, rho: float) -> None:
    x, y = correlated(n, rho, 7)
    r = spearman(x, y)
    assert r is not None

    # Fisher's transformation with the variance of Bonett and Wright (2000).
    half = 1.96 * sqrt((1 + r**2 / 2) / (n - 3))
    interval = spearman_interval(x, y)

    assert interval is not None
    assert interval == pytest.approx((tanh(atanh(r) - half), tanh(atanh(r) + half)), abs=0.03)


def test_the_interval_is_the_same_every_time_and_blocks_do_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = correlated(150, 0.7, 3)
    once = spearman_interval(x, y)

    assert spearman_interval(x, y) == once
    monkeypatch.setattr(correlation, "_BLOCK", 150 * 7)
    assert spearman_interval(x, y) == once


def test_examples_that_belong_together_count_once() -> None:
    """Ten copies of each pair say no more than one, if they are resampled together."""
    x, y = correlated(100, 0.5, 11)
    single = spearman_interval(x, y)
    copied = spearman_interval(np.repeat(x, 10), np.repeat(y, 10), np.repeat(np.arange(100), 10))
    naive = spearman_interval(np.repeat(x, 10), np.repeat(y, 10))

    assert copied == pytest.approx(single, abs=1e-3)
    assert naive is not None
    assert single is not None
    assert naive[1] - naive[0] < (single[1] - single[0]) / 2


@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [2, 2, 2])]
)
def test_what_does_not_vary_has_no_correlation(x: list[float], y: list[float]) -> None:
    human, judge = np.array(x, np.float64), np.array(y, np.float64)

    assert spearman(human, judge) is None
    assert kendall(human, judge) is None
    assert spearman_interval(human, judge) is None
