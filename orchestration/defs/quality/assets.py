"""The weekly recalibration: does an evaluator still see what people see?"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.resources import Store

if TYPE_CHECKING:
    from evaluators.calibration import Calibration

GATE = "evaluators_pass_the_gate"


@dg.asset(
    group_name="quality",
    kinds={"clickhouse"},
    deps=["calibration_set"],
    check_specs=[
        dg.AssetCheckSpec(
            GATE,
            asset="evaluator_calibrations",
            description="Scores of an evaluator that the gate refuses do not page anybody.",
        )
    ],
    freshness_policy=dg.FreshnessPolicy.time_window(
        fail_window=timedelta(days=15), warn_window=timedelta(days=8)
    ),
    description="Agreement of labelled evaluators with people: rank correlation, gate, map to their scale.",
)
def evaluator_calibrations(store: Store) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Calibrate every version of every evaluator that has labelled scores, and keep the results."""
    # 50 MB of statistics that the code server, which never calibrates, should not hold all week.
    from evaluators.calibration import calibrate_and_store

    with store.client() as client:
        labelled = client.query(
            "SELECT DISTINCT evaluator, evaluator_version FROM calibration_set ORDER BY ALL"
        ).result_rows
        results = [calibrate_and_store(client, evaluator, version) for evaluator, version in labelled]
    return dg.MaterializeResult(
        metadata={"evaluators": len(results), "calibrations": dg.MetadataValue.md(table(results))},
        check_results=[gate(results)],
    )


def gate(results: Sequence["Calibration"]) -> dg.AssetCheckResult:
    """Whether every evaluator passed. A warning: its scores go on being stored, they only do not page."""
    refused = [r for r in results if r.gate != "passed"]
    return dg.AssetCheckResult(
        check_name=GATE,
        passed=not refused,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{r.evaluator} {r.version}: {r.gate_reason}" for r in refused)
        or (f"all {len(results)} passed" if results else "no labelled scores: nothing to calibrate"),
        metadata={"passed": len(results) - len(refused), "refused": len(refused)},
    )


def table(results: Sequence["Calibration"]) -> str:
    """The results for people, in Markdown. What is not known is a dash."""
    lines = [
        "| evaluator | version | examples | Spearman (95 %) | gate |",
        "| --- | --- | ---: | --- | --- |",
    ]
    lines += [
        f"| {r.evaluator} | {r.version} | {r.n} | {_interval(r)} | {r.gate}: {r.gate_reason} |"
        for r in results
    ]
    return "\n".join(lines)


def _interval(result: "Calibration") -> str:
    if result.spearman is None:
        return "–"
    low_high = result.spearman_ci
    return f"{result.spearman:.3f}" + (
        "" if low_high is None else f" ({low_high[0]:.3f} to {low_high[1]:.3f})"
    )
