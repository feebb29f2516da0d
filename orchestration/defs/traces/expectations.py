"""The Great Expectations suites of the raw tables as asset checks: corrupt data stops what is built on it."""

from collections.abc import Iterator

import dagster as dg

from assay.warehouse import expectations
from assay.warehouse.expectations import Suite, Verdict
from orchestration.resources import Store


def check_name(suite: Suite) -> str:
    """As shown in the UI."""
    return f"expectations_{suite.level}"


SPECS = [
    dg.AssetCheckSpec(
        check_name(suite),
        asset=suite.table,
        description=suite.description,
        blocking=suite.level == "sound",
    )
    for suite in expectations.SUITES
]


# One step for all: the library costs seconds and memory once a run, and nothing where nothing is checked.
@dg.multi_asset_check(name="raw_expectations", specs=SPECS)
def raw_expectations(store: Store) -> Iterator[dg.AssetCheckResult]:
    """Hold the last day's raw rows against every suite."""
    for verdict in expectations.validate(store.settings):
        yield result(verdict)


def result(verdict: Verdict) -> dg.AssetCheckResult:
    """What Dagster shows of a verdict."""
    suite = verdict.suite
    met = f"met by {verdict.evaluated:,} rows" if verdict.evaluated else "no rows to look at"
    return dg.AssetCheckResult(
        asset_key=suite.table,
        check_name=check_name(suite),
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if suite.level == "sound" else dg.AssetCheckSeverity.WARN,
        description="; ".join(verdict.failures) or met,
        metadata={"rows": verdict.evaluated, "failures": len(verdict.failures)},
    )
