"""The job that reprices."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.pricing.assets import repriced_traces

reprice_job = dg.define_asset_job(
    "reprice_job",
    selection=[repriced_traces],
    description="Reprice the calls of a day, or of a range of days.",
)
