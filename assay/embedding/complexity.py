"""The complexity of a task from those of canonical examples that its text is near to."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.embedding.embedder import Vectors

Floats = NDArray[np.float64]
Labels = NDArray[np.str_]

# Five, as is customary: enough that one odd example does not decide, few enough to stay near.
NEIGHBOURS: Final = 5
# Float32 vectors do not tell smaller differences of distance from none.
_SAME: Final = 1e-5
# Cosine distance 1 is a right angle: two texts with nothing in common.
_UNRELATED: Final = 1 - _SAME
# Cells of a matrix of distances that are held at a time: 64 MB in float64.
_CELLS: Final = 8_000_000


class Examples(NamedTuple):
    """Canonical examples.

    Attributes:
        vectors: shape (m, d).
        complexity: shape (m,), above 0.
        task_type: shape (m,).
    """

    vectors: Vectors
    complexity: Floats
    task_type: Labels


class Estimates(NamedTuple):
    """Of n calls.

    Attributes:
        complexity: shape (n,); NaN where no example is any nearer than one about something else entirely.
        nearest: shape (n,), cosine distance to the nearest example; NaN there, too.
        examples: shape (n,), how many the call was compared with.
    """

    complexity: Floats
    nearest: Floats
    examples: NDArray[np.int64]


def estimate(vectors: Vectors, task_type: Labels, examples: Examples) -> Estimates:
    """Complexity of calls: mean over the five nearest examples, weighted by one over the cosine distance.

    That is k-nearest-neighbour regression (Cover 1968) with the weights of Shepard's interpolation (1968). A
    call of a task type that has examples of its own is compared with those, any other with all. Examples at a
    right angle or more say nothing. Where a text is that of an example, it has the example's complexity.

    Args:
        vectors: of the calls, shape (n, d); the lengths do not matter.
        task_type: of the calls, shape (n,).
        examples: to compare with, of the same embedder.
    """
    count = len(vectors)
    found = Estimates(np.full(count, np.nan), np.full(count, np.nan), np.zeros(count, np.int64))
    if not count or not len(examples.vectors):
        return found
    others = _directions(examples.vectors)
    has_own = np.isin(task_type, examples.task_type)
    step = max(1, _CELLS // len(others))
    for start in range(0, count, step):
        part = slice(start, start + step)
        distance = 1.0 - _directions(vectors[part]) @ others.T
        comparable = ~has_own[part, None] | (task_type[part, None] == examples.task_type[None, :])
        found.examples[part] = comparable.sum(axis=1)
        distance[~comparable | (distance >= _UNRELATED)] = np.inf
        _weigh(distance, examples.complexity, found, part)
    return found


def _weigh(distance: Floats, complexity: Floats, found: Estimates, part: slice) -> None:
    kept = min(NEIGHBOURS, distance.shape[1])
    nearest = np.argpartition(distance, kept - 1, axis=1)[:, :kept]
    near = np.take_along_axis(distance, nearest, axis=1)
    first = near.min(axis=1)
    known = np.isfinite(first)
    same = near < _SAME
    weights = np.where(same.any(axis=1, keepdims=True), same, 1 / np.maximum(near, _SAME))
    values = complexity[nearest]
    found.complexity[part][known] = (weights * values).sum(axis=1)[known] / weights.sum(axis=1)[known]
    found.nearest[part][known] = np.maximum(first[known], 0)


def _directions(vectors: Vectors) -> Floats:
    """Vectors of length 1. One of zeros has no direction: it stays, at a right angle to everything."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    result: Floats = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    return result


class TypeEstimate(NamedTuple):
    """Of a task type: see the table ``task_complexity_estimates``."""

    task_type: str
    complexity: float
    complexity_iqr: float | None
    calls: int
    examples: int
    nearest_distance: float


def by_type(task_type: Labels, estimates: Estimates) -> list[TypeEstimate]:
    """The mean over the known calls of each task type, so that cost over complexity is what a unit of work
    costs; with the distance between their quartiles, and how near the examples are."""
    known = np.isfinite(estimates.complexity)
    names, kind = np.unique(task_type[known], return_inverse=True)
    order = np.argsort(kind, kind="stable")
    bounds = np.searchsorted(kind[order], np.arange(1, len(names)))
    columns = [
        np.split(column[known][order], bounds)
        for column in (estimates.complexity, estimates.nearest, estimates.examples)
    ]
    result = []
    for name, values, nearest, compared in zip(names, *columns, strict=True) if len(names) else ():
        low, high = np.percentile(values, [25, 75])
        result.append(
            TypeEstimate(
                task_type=str(name),
                complexity=float(values.mean()),
                complexity_iqr=float(high - low) if len(values) > 1 else None,
                calls=len(values),
                examples=int(compared.max()),
                nearest_distance=float(np.median(nearest)),
            )
        )
    return result
