"""What was opened, upgraded and resolved. Written by the regression sensor and by people's answers."""

from __future__ import annotations

import dagster as dg

alerts = dg.AssetSpec(
    "alerts",
    group_name="alerts",
    deps=["llm_kpi_1min", "llm_quality_1min", "llm_spend_15min", "ewma_baselines"],
    description="Events of alerts, append-only: one id per incident.",
    kinds={"clickhouse"},
)
