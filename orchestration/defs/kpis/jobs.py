"""The jobs that build and test what is derived in SQL."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.kpis.assets import dbt_models
from orchestration.defs.traces.expectations import raw_expectations

dbt_job = dg.define_asset_job(
    "dbt_job",
    # Corrupt raw data fails a blocking check, and nothing is built on it.
    selection=dg.AssetSelection.checks(raw_expectations)
    | dg.AssetSelection.assets(dbt_models)
    | dg.AssetSelection.checks(dbt_models),
    description="Expectations of the raw tables, then dbt build: rollups, marts and every data test.",
)

efficiency_job = dg.define_asset_job(
    "efficiency_job",
    selection=dg.AssetSelection.assets("efficiency_daily")
    | dg.AssetSelection.checks_for_assets(dg.AssetKey("efficiency_daily")),
    description='What the screen "Efficiency" shows: the one mart that is a table, and ages.',
)
