"""Everything that Dagster knows. What is defined is listed here; a test holds the list."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.alerts.assets import alerts
from orchestration.defs.alerts.sensors import regression_sensor
from orchestration.defs.baselines.assets import ewma_baselines
from orchestration.defs.baselines.jobs import baselines_job
from orchestration.defs.baselines.schedules import daily_baselines_schedule
from orchestration.defs.complexity.assets import llm_embeddings, task_complexity_estimates
from orchestration.defs.complexity.jobs import complexity_job
from orchestration.defs.complexity.schedules import hourly_complexity_schedule
from orchestration.defs.kpis.assets import dbt_models
from orchestration.defs.kpis.compaction import compaction_job
from orchestration.defs.kpis.jobs import dbt_job, efficiency_job
from orchestration.defs.kpis.schedules import (
    daily_dbt_schedule,
    hourly_efficiency_schedule,
    monthly_compaction_schedule,
)
from orchestration.defs.kpis.sensors import outside_builds_sensor
from orchestration.defs.pricing.assets import price_changes, repriced_traces
from orchestration.defs.pricing.jobs import price_changes_job, reprice_job
from orchestration.defs.pricing.schedules import daily_price_changes_schedule
from orchestration.defs.quality.assets import evaluator_calibrations
from orchestration.defs.quality.jobs import calibration_job
from orchestration.defs.quality.schedules import weekly_calibration_schedule
from orchestration.defs.traces.assets import ASSETS as RAW_ASSETS
from orchestration.defs.traces.checks import CHECKS as RAW_CHECKS
from orchestration.defs.traces.expectations import raw_expectations
from orchestration.defs.traces.sensors import (
    failing_checks_sensor,
    telemetry_checks_sensor,
    telemetry_freshness_sensor,
)
from orchestration.resources import Store, dbt_resource

defs = dg.Definitions(
    assets=[
        *RAW_ASSETS,
        alerts,
        dbt_models,
        ewma_baselines,
        evaluator_calibrations,
        price_changes,
        repriced_traces,
        llm_embeddings,
        task_complexity_estimates,
    ],
    asset_checks=[*RAW_CHECKS, raw_expectations],
    jobs=[
        dbt_job,
        efficiency_job,
        compaction_job,
        baselines_job,
        calibration_job,
        price_changes_job,
        reprice_job,
        complexity_job,
    ],
    schedules=[
        daily_dbt_schedule,
        hourly_efficiency_schedule,
        monthly_compaction_schedule,
        daily_baselines_schedule,
        weekly_calibration_schedule,
        hourly_complexity_schedule,
        daily_price_changes_schedule,
    ],
    sensors=[
        telemetry_freshness_sensor,
        telemetry_checks_sensor,
        failing_checks_sensor,
        outside_builds_sensor,
        regression_sensor,
    ],
    resources={"store": Store(), "dbt": dbt_resource()},
    # The steps of a run share its process: each process more costs seconds and 200 MB.
    executor=dg.in_process_executor,
)
