"""Complexity from the nearest examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from assay.embedding import complexity
from assay.embedding.complexity import Examples, by_type, estimate


def labels(*names: str) -> complexity.Labels:
    return np.array(names, np.str_)


def at(*degrees: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Vectors in a plane, by their angles; the lengths differ, and do not matter."""
    angles = np.radians(degrees)
    lengths = 1 + np.arange(len(degrees))
    return (np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]).astype(np.float32)


def test_nearer_examples_weigh_more() -> None:
    """60 degrees from one (distance 0.5) and 30 from the other (0.134): weights 2 and 7.46."""
    found = estimate(at(60), labels("new"), Examples(at(0, 90), np.array([1.0, 10.0]), labels("a", "b")))
    near = 1 - np.cos(np.radians(30))
    assert found.complexity == pytest.approx([(1 / 0.5 + 10 / near) / (1 / 0.5 + 1 / near)], rel=1e-5)
    assert found.nearest == pytest.approx([near], rel=1e-5)
    assert found.examples.tolist() == [2]


def test_five_examples_are_enough() -> None:
    """The sixth does not count, however heavy."""
    examples = Examples(at(10, 10, 10, 10, 10, 11), np.array([2.0] * 5 + [1e6]), labels(*"abcdef"))
    assert estimate(at(0), labels("new"), examples).complexity == pytest.approx([2], rel=1e-5)


def test_examples_of_the_own_task_type_come_first() -> None:
    examples = Examples(at(0, 80), np.array([1.0, 10.0]), labels("near", "own"))
    found = estimate(at(0, 0, 85), labels("own", "other", "near"), examples)
    # By its type, by nearness (it is the same text), and by its type again.
    assert found.complexity == pytest.approx([10, 1, 1], rel=1e-5)
    assert found.examples.tolist() == [1, 2, 1]


def test_what_has_nothing_in_common_is_not_known() -> None:
    """At a right angle or beyond, or without a direction: unknown, neither 1 nor the mean of all."""
    examples = Examples(at(0, 10), np.array([3.0, 5.0]), labels("a", "b"))
    found = estimate(
        np.concatenate([at(180), np.zeros((1, 2), np.float32), at(90.0)]), labels("x", "x", "a"), examples
    )
    assert np.isnan(found.complexity).all()
    assert np.isnan(found.nearest).all()
    assert by_type(labels("x", "x", "a"), found) == []
    nothing = estimate(at(1), labels("x"), Examples(at(), np.zeros(0), labels()))
    assert np.isnan(nothing.complexity).all()


def test_the_mean_of_a_type_with_its_spread() -> None:
    examples = Examples(at(0, 45), np.array([1.0, 4.0]), labels("easy", "hard"))
    kinds = labels("mixed", "hard", "mixed", "mixed", "lost")
    found = by_type(kinds, estimate(at(0, 40, 45, 45, 200), kinds, examples))
    assert [(row.task_type, row.calls, row.examples) for row in found] == [("hard", 1, 1), ("mixed", 3, 2)]
    assert (found[0].complexity, found[0].complexity_iqr) == (pytest.approx(4), None)
    assert found[1].complexity == pytest.approx((1 + 4 + 4) / 3, rel=1e-4)
    assert found[1].complexity_iqr == pytest.approx(
        np.subtract(*np.percentile([1, 4, 4], [75, 25])), rel=1e-4
    )


vectors = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(-3, 3).map(float)
)


@given(vectors, vectors, st.data())
def test_whatever_the_vectors(calls: np.ndarray, known: np.ndarray, data: st.DataObject) -> None:
    """Between the least and the greatest example, or unknown; in any order, and in any blocks, the same."""
    kinds = st.sampled_from(["a", "b", "c"])
    of = labels(*data.draw(st.lists(kinds, min_size=len(calls), max_size=len(calls))))
    values = st.floats(0.1, 100)
    examples = Examples(
        known,
        np.array(data.draw(st.lists(values, min_size=len(known), max_size=len(known)))),
        labels(*data.draw(st.lists(kinds, min_size=len(known), max_size=len(known)))),
    )
    found = estimate(calls, of, examples)
    sure = found.complexity[np.isfinite(found.complexity)]
    assert (sure >= examples.complexity.min() * (1 - 1e-9)).all()
    assert (sure <= examples.complexity.max() * (1 + 1e-9)).all()
    assert (np.isfinite(found.complexity) == np.isfinite(found.nearest)).all()
    assert np.nanmin(found.nearest, initial=0) >= 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(complexity, "_CELLS", 3)
        np.testing.assert_allclose(estimate(calls, of, examples).complexity, found.complexity)
    backwards = estimate(calls[::-1], of[::-1], examples)
    np.testing.assert_allclose(backwards.complexity[::-1], found.complexity)
    assert sum(row.calls for row in by_type(of, found)) == len(sure)
