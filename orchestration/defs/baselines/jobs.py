"""The job that computes baselines."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.baselines.assets import ewma_baselines

baselines_job = dg.define_asset_job(
    "baselines_job",
    selection=[ewma_baselines],
    description="Baselines of a day, or of a range of days.",
)
