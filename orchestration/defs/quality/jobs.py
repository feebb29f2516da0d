"""The job that recalibrates evaluators."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.quality.assets import evaluator_calibrations

calibration_job = dg.define_asset_job(
    "calibration_job",
    selection=dg.AssetSelection.assets(evaluator_calibrations),
    description="Every labelled evaluator against the people who labelled.",
)
