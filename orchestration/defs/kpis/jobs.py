"""The job that builds and tests everything derived in SQL."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.kpis.assets import dbt_models

dbt_job = dg.define_asset_job(
    "dbt_job",
    selection=dg.AssetSelection.assets(dbt_models) | dg.AssetSelection.checks(dbt_models),
    description="dbt build: rollups and marts as the project has them now, and every data test.",
)
