"""How far an evaluator agrees with people, whether that is enough, and the map from its scale to theirs.

The gate looks at the rank correlation over single examples, because single answers are what the evaluator is
used on. Over models it is shown beside: averages of many answers agree far better (MT-bench: 0.48 by vote,
0.94 by model), and a judge that ranks models well may still be wrong about most answers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from clickhouse_connect.driver.client import Client
from scipy.optimize import isotonic_regression

from evaluators.correlation import Floats, kendall, spearman, spearman_interval
from evaluators.examples import Examples, ExamplesError, from_store

# As few as these leave an interval of about ± 0.1 around a correlation of 0.7 (Fisher: tanh(0.867 ± 1.96 /
# √97)).
FEWEST_EXAMPLES: Final = 100
# A judge whose ranks agree less with people's does not see what people see; its scores must not page anybody.
LEAST_SPEARMAN: Final = 0.7
_FEWEST_MODELS: Final = 3
# Every pair of this many examples is compared for the agreement: 4 million.
_MOST_COMPARED: Final = 2_000
_SEED: Final = 20_230_609


@dataclass(frozen=True)
class Map:
    """A monotone map from the evaluator's scores to human ones, piecewise linear between its points.

    Attributes:
        points_from, points_to: the points.
        error, error_unmapped: root mean square error on the half that it was not fitted on, with and without
        it.
    """

    points_from: tuple[float, ...]
    points_to: tuple[float, ...]
    error: float
    error_unmapped: float

    def __call__(self, scores: Floats) -> Floats:
        """The scores on the human scale."""
        mapped: Floats = np.interp(scores, self.points_from, self.points_to)
        return mapped


@dataclass(frozen=True)
class Calibration:
    """What is known about an evaluator. None: too few examples, or one side does not vary.

    Attributes:
        agreement: share of the comparisons between two answers on which human and judge say the same (the
        first,
            the second, or neither is better); agreement_without_ties: of those on which neither says tie.
        spearman, kendall: over examples. spearman_ci: 95 %, by bootstrap over answers.
        by_model_spearman: over the mean preferences of the models.
        gate: ``passed`` or ``refused``; gate_reason: why.
    """

    evaluator: str
    version: str
    n: int
    agreement: float | None
    agreement_without_ties: float | None
    spearman: float | None
    spearman_ci: tuple[float, float] | None
    kendall: float | None
    by_model_spearman: float | None
    models: int
    gate: str
    gate_reason: str
    map: Map | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def calibrate(examples: Examples, *, evaluator: str = "", version: str = "") -> Calibration:
    """Compare human and judge."""
    enough = len(examples) >= FEWEST_EXAMPLES
    rho = spearman(examples.human, examples.judge)
    agreement, without_ties = _agreement(examples)
    return Calibration(
        evaluator=evaluator,
        version=version,
        n=len(examples),
        agreement=agreement,
        agreement_without_ties=without_ties,
        spearman=rho,
        spearman_ci=spearman_interval(examples.human, examples.judge, examples.cluster),
        kendall=kendall(examples.human, examples.judge),
        by_model_spearman=_by_model(examples),
        models=len(examples.models),
        gate="passed" if enough and rho is not None and rho > LEAST_SPEARMAN else "refused",
        gate_reason=_reason(len(examples), rho),
        map=fit_map(examples) if enough else None,
    )


def calibrate_and_store(client: Client, evaluator: str, version: str = "") -> Calibration:
    """Calibrate an evaluator on the labelled traces that it scored, and keep the result.

    Args:
        client: of the store.
        evaluator: its name.
        version: its version; may be left out where only one was ever labelled.

    Returns:
        What was stored in ``evaluator_calibrations``; with too few examples the gate refuses.

    Raises:
        ExamplesError: several versions were labelled, and none was named.
    """
    version = version or only_version(client, evaluator)
    result = calibrate(from_store(client, evaluator, version), evaluator=evaluator, version=version)
    low, high = result.spearman_ci or (None, None)
    row = {
        "evaluator": evaluator,
        "evaluator_version": version,
        "computed_at": datetime.now(UTC),
        "n": result.n,
        "spearman": result.spearman,
        "spearman_low": low,
        "spearman_high": high,
        "kendall": result.kendall,
        "agreement": result.agreement,
        "gate": result.gate,
        "gate_reason": result.gate_reason,
        "map_from": list(result.map.points_from) if result.map else [],
        "map_to": list(result.map.points_to) if result.map else [],
    }
    client.insert("evaluator_calibrations", [list(row.values())], column_names=list(row))
    return result


def only_version(client: Client, evaluator: str) -> str:
    """The version of an evaluator that was labelled; empty where none was.

    Raises:
        ExamplesError: there are several.
    """
    rows = client.query(
        "SELECT DISTINCT evaluator_version FROM calibration_set WHERE evaluator = {evaluator:String} "
        "ORDER BY evaluator_version",
        parameters={"evaluator": evaluator},
    ).result_rows
    versions = [str(row[0]) for row in rows]
    if len(versions) > 1:
        raise ExamplesError(f"{evaluator} has labels for several versions ({', '.join(versions)}): name one")
    return versions[0] if versions else ""


def fit_map(examples: Examples) -> Map | None:
    """Isotonic regression of the human on the judge's scores, fitted on one half of the answers and measured
    on the other; None where a half is empty."""
    random = np.random.default_rng(_SEED)
    fitted = random.permutation(int(examples.cluster.max(initial=-1)) + 1)[examples.cluster] % 2 == 0
    if fitted.all() or not fitted.any():
        return None
    points, index, counts = np.unique(examples.judge[fitted], return_inverse=True, return_counts=True)
    means = np.bincount(index, weights=examples.human[fitted]) / counts
    levels = isotonic_regression(means, weights=counts).x
    human, judge = examples.human[~fitted], examples.judge[~fitted]
    return Map(
        points_from=tuple(points.tolist()),
        points_to=tuple(levels.tolist()),
        error=_error(np.interp(judge, points, levels), human),
        error_unmapped=_error(judge, human),
    )


def _error(scores: Floats, human: Floats) -> float:
    return float(np.sqrt(np.mean((scores - human) ** 2)))


def _agreement(examples: Examples) -> tuple[float | None, float | None]:
    if examples.votes:
        human, judge = np.sign(examples.human - 0.5), np.sign(examples.judge - 0.5)
    else:
        human, judge = _preferences(examples)
    if not len(human):
        return None, None
    decided = (human != 0) & (judge != 0)
    same = human == judge
    return float(same.mean()), float(same[decided].mean()) if decided.any() else None


def _preferences(examples: Examples) -> tuple[Floats, Floats]:
    """Which of every two answers has the higher score: scores compared as votes are."""
    chosen = np.arange(len(examples))
    if len(chosen) > _MOST_COMPARED:
        chosen = np.random.default_rng(_SEED).choice(chosen, _MOST_COMPARED, replace=False)
    first, second = np.triu_indices(len(chosen), 1)
    human, judge = examples.human[chosen], examples.judge[chosen]
    return np.sign(human[first] - human[second]), np.sign(judge[first] - judge[second])


def _by_model(examples: Examples) -> float | None:
    count = len(examples.models)
    if count < _FEWEST_MODELS:
        return None
    known = examples.model >= 0
    opposed = examples.opponent >= 0
    index = np.concatenate([examples.model[known], examples.opponent[opposed]])
    seen = np.bincount(index, minlength=count)

    def means(scores: Floats) -> Floats:
        values = np.concatenate([scores[known], 1 - scores[opposed]])
        result: Floats = np.bincount(index, weights=values, minlength=count) / seen
        return result

    return spearman(means(examples.human), means(examples.judge))


def _reason(n: int, rho: float | None) -> str:
    if n < FEWEST_EXAMPLES:
        return f"{n} human-rated examples; at least {FEWEST_EXAMPLES} are needed"
    if rho is None:
        return "one side gave every example the same score"
    comparison = "above" if rho > LEAST_SPEARMAN else "not above"
    return f"Spearman over examples is {rho:.3f}, {comparison} {LEAST_SPEARMAN}"


def to_json(calibration: Calibration) -> str:
    """One JSON object."""
    return json.dumps(calibration.as_dict())
