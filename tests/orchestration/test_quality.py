"""The recalibration on labelled traces."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import dagster as dg

from assay.settings import Settings
from assay.warehouse.client import connect
from tests.support.rows import evaluation, insert


def test_calibration(settings: Settings, definitions: dg.Definitions) -> None:
    """A judge that sees what people see passes, one that guesses is refused: a warning, the run is green."""
    at = datetime(2026, 3, 4, 12, tzinfo=UTC)
    chance = random.Random(7)
    human = {f"trace-{n}": round(chance.random(), 3) for n in range(150)}
    with connect(settings) as client:
        insert(
            client,
            "human_labels",
            *(
                {"trace_id": trace, "rater": "ann", "score": score, "rubric": "helpful", "timestamp": at}
                for trace, score in human.items()
            ),
        )
        for evaluator, scores in {
            "attentive": {t: min(1.0, max(0.0, s + chance.gauss(0, 0.1))) for t, s in human.items()},
            "guessing": {t: chance.random() for t in human},
        }.items():
            insert(
                client,
                "llm_evaluations",
                *(evaluation(at, trace_id=t, evaluator=evaluator, score=s) for t, s in scores.items()),
            )
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("calibration_job").execute_in_process(instance=instance)
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert check.description is not None
    assert check.description.startswith("guessing 1: Spearman")
    (event,) = result.asset_materializations_for_node("evaluator_calibrations")
    shown = event.metadata["calibrations"].value
    assert "| attentive | 1 | 150 | 0.9" in shown
    with connect(settings) as client:
        stored = client.query(
            "SELECT evaluator, gate FROM evaluator_calibrations ORDER BY evaluator"
        ).result_rows
    assert stored == [("attentive", "passed"), ("guessing", "refused")]


def test_without_labels(settings: Settings, definitions: dg.Definitions) -> None:
    """Nothing to calibrate is said, and is no failure."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("calibration_job").execute_in_process(instance=instance)
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert check.description == "no labelled scores: nothing to calibrate"
