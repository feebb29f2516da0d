"""The checks of the raw tables as asset checks, for whoever wants to run one by hand.

A sensor judges them all the time (see :mod:`orchestration.defs.traces.sensors`).
"""

import dagster as dg

from orchestration.defs.traces import soundness
from orchestration.resources import Store


def _asset_check(check: soundness.Check) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=check.table, name=check.name, description=check.description)
    def judge(store: Store) -> dg.AssetCheckResult:
        with store.client() as client:
            finding = soundness.judge(client, check)
        return dg.AssetCheckResult(
            passed=finding.passed,
            severity=check.severity,
            description=finding.description,
            metadata=finding.metadata,
        )

    return judge


CHECKS = [_asset_check(check) for check in soundness.CHECKS]
