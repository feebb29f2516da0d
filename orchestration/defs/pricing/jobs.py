"""The jobs that compare prices and that reprice."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.pricing.assets import price_changes, repriced_traces

price_changes_job = dg.define_asset_job(
    "price_changes_job",
    selection=[price_changes],
    description="What stored calls would cost at the prices that are known now; changes nothing.",
)

reprice_job = dg.define_asset_job(
    "reprice_job",
    selection=[repriced_traces],
    description="Reprice the calls of a day, or of a range of days.",
)
