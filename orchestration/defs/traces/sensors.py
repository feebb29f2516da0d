"""Sensors that tell Dagster about rows which were written without it, and people about checks that fail.
None starts a run.
"""

from datetime import UTC, datetime

import dagster as dg

from orchestration.defs.traces import arrivals, failing, soundness
from orchestration.resources import Store
from sensors import notify


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports what arrived in the raw tables, so that their freshness shows.",
)
def telemetry_freshness_sensor(context: dg.SensorEvaluationContext, store: Store) -> dg.SensorResult:
    """Runless materialisations of the tables that received records."""
    cursor = arrivals.parse_cursor(context.cursor)
    tables = arrivals.due(cursor, datetime.now(UTC))
    with store.client() as client:
        report = arrivals.decide(arrivals.read(client, tables, cursor), cursor)
    return dg.SensorResult(asset_events=report.events, cursor=report.cursor, skip_reason=report.summary)


@dg.sensor(
    # A run costs about twenty seconds of a core, these queries milliseconds: so they are judged here.
    minimum_interval_seconds=900,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges the checks of the raw tables.",
)
def telemetry_checks_sensor(store: Store) -> dg.SensorResult:
    """Runless evaluations of every check in :mod:`soundness`."""
    with store.client() as client:
        findings = [(check, soundness.judge(client, check)) for check in soundness.CHECKS]
    failed = [check.name for check, finding in findings if not finding.passed]
    return dg.SensorResult(
        asset_events=[
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(check.table),
                check_name=check.name,
                passed=finding.passed,
                severity=check.severity,
                description=finding.description,
                metadata=finding.metadata,
            )
            for check, finding in findings
        ],
        skip_reason=f"{len(findings)} checks, failed: {', '.join(failed) or 'none'}",
    )


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells the channel of alerts which checks began to fail, and which pass again.",
)
def failing_checks_sensor(context: dg.SensorEvaluationContext, store: Store) -> dg.SensorResult:
    """What could not be delivered fails the tick, and is told by the next one."""
    assert context.repository_def is not None
    keys = list(context.repository_def.asset_graph.asset_check_keys)
    known = [failing.name(key) for key in keys]
    news = failing.decide(failing.read(context.instance, keys), context.cursor, known)
    if news.text:
        notify.say(store.settings, news.text)
    return dg.SensorResult(cursor=news.cursor, skip_reason=news.summary)
