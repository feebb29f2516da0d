"""What was built without Dagster: dbt models by ``dbt`` or at start, baselines by a load of history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from clickhouse_connect.driver.client import Client

BASELINES = "ewma_baselines"


@dataclass(frozen=True)
class Report:
    """Events for Dagster, the time of the newest dbt run among them, and one line for people."""

    events: Sequence[dg.AssetMaterialization]
    cursor: str
    summary: str


def read_dbt_run(target: Path) -> Mapping[str, Any] | None:
    """What the last dbt command outside Dagster wrote of itself (Dagster's own runs write elsewhere).

    Args:
        target: where dbt writes for this data directory.
    """
    path = target / "run_results.json"
    if not path.exists():
        return None
    found: Mapping[str, Any] = json.loads(path.read_bytes())
    return found


def read_baselines(client: Client) -> dict[str, int]:
    """Rows of baselines by day (ISO date)."""
    rows = client.query("SELECT toString(as_of), count() FROM kpi_baselines FINAL GROUP BY as_of").result_rows
    return {str(day): int(count) for day, count in rows}


def decide(
    dbt_run: Mapping[str, Any] | None, days: Mapping[str, int], known_days: frozenset[str], cursor: str
) -> Report:
    """Materialisations of what Dagster has not heard of.

    Args:
        dbt_run: dbt's ``run_results.json``; None where dbt never ran.
        days: rows of baselines by day.
        known_days: the partitions that Dagster has.
        cursor: ``generated_at`` of the last dbt run that was reported; times of one format sort as text.
    """
    models: list[dg.AssetMaterialization] = []
    generated_at = cursor
    if dbt_run is not None and dbt_run["metadata"]["generated_at"] > cursor:
        generated_at = dbt_run["metadata"]["generated_at"]
        models = [
            dg.AssetMaterialization(
                result["unique_id"].rpartition(".")[2],
                metadata={"seconds": round(result["execution_time"], 3), "built_by": "dbt, outside Dagster"},
            )
            for result in dbt_run["results"]
            if result["unique_id"].startswith("model.") and result["status"] == "success"
        ]
    baselines = [
        dg.AssetMaterialization(BASELINES, partition=day, metadata={"dagster/partition_row_count": rows})
        for day, rows in sorted(days.items())
        if day not in known_days
    ]
    return Report(
        events=[*models, *baselines],
        cursor=generated_at,
        summary=f"built outside Dagster: {len(models)} models, {len(baselines)} days of baselines",
    )
