"""The job that embeds captured text and estimates complexities."""

from __future__ import annotations

import dagster as dg

from orchestration.defs.complexity.assets import llm_embeddings, task_complexity_estimates

complexity_job = dg.define_asset_job(
    "complexity_job",
    selection=dg.AssetSelection.assets(llm_embeddings, task_complexity_estimates),
    description="Embed captured text, and estimate the complexity of task types from it.",
)
