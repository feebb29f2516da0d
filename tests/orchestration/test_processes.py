"""Dagster's three processes on a real store, driven as the UI drives them: over GraphQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from assay.cli.services import environment
from assay.settings import Settings
from assay.warehouse.client import connect
from orchestration.instance import Process, dagster_processes, prepare
from tests.support.processes import Running, free_port, running, wait_for
from tests.support.rows import evaluation, insert, span

_LAUNCH = """
mutation Launch($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
_BACKFILL = """
query Backfill($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill {
      status
      assetBackfillData {
        assetBackfillStatuses {
          ... on AssetPartitionsStatusCounts { numPartitionsMaterialized numPartitionsFailed }
        }
      }
    }
  }
  runsOrError { ... on Runs { results { runId status } } }
}
"""
_FRESHNESS = """
query Freshness {
  assetNodes(assetKeys: [{path: ["llm_traces"]}]) {
    freshnessStatusInfo { freshnessStatus }
    assetMaterializations(limit: 1) { metadataEntries { label ... on IntMetadataEntry { intValue } } }
  }
}
"""
_TICKS = """
query Ticks {
  sensorOrError(
    sensorSelector: {
      sensorName: "regression_sensor", repositoryName: "__repository__", repositoryLocationName: "assay"
    }
  ) {
    ... on Sensor {
      sensorState {
        ticks(statuses: [SUCCESS, SKIPPED, FAILURE], limit: 1) { status skipReason error { message } }
      }
    }
  }
}
"""


@pytest.fixture
def dagster(built: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A store with a month of traffic, and all of Dagster but the daemon on it."""
    settings = Settings(
        clickhouse_url=built.clickhouse,
        clickhouse_database=built.clickhouse_database,
        data_dir=tmp_path,
        dagster_port=free_port(),
    )
    now = datetime.now(UTC)
    hours = [now - timedelta(hours=h) for h in range(1, 31 * 24, 6)]
    with connect(settings) as client:
        insert(client, "llm_traces", *(span(at, retention_start=now.date()) for at in hours))
        insert(client, "llm_evaluations", *(evaluation(at, retention_start=now.date()) for at in hours))
        insert(client, "llm_traces", span(now - timedelta(minutes=5)))
    prepare(settings)
    code, webserver, _ = dagster_processes(settings)
    with started(settings, code) as server:
        with started(settings, webserver):
            yield settings
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children, "the process that holds the definitions"
    # Asked to stop, it leaves nothing behind: where it had no time to end them, what it has started ends
    # after 30 s without a word of it (Dagster's heartbeat).
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive, alive


def started(settings: Settings, process: Process) -> AbstractContextManager[Running]:
    """The process, ready, for the time of the block."""
    return running(
        process.argv,
        ready=lambda: asyncio.run(process.ready()) == "",
        log=settings.data_dir / f"{process.name}.log",
        env={**environment(settings), **process.env},
        timeout_s=120,
    )


def ask(settings: Settings, query: str, **variables: Any) -> dict[str, Any]:
    """One GraphQL request."""
    answer = httpx.post(
        f"{settings.dagster}/graphql",
        json={"query": query, "variables": variables},
        trust_env=False,
        timeout=30,
    ).json()
    assert "errors" not in answer, answer["errors"]
    data: dict[str, Any] = answer["data"]
    return data


def test_month_of_baselines_from_the_ui(dagster: Settings) -> None:
    """Thirty days run green in one run; meanwhile raw tables turn fresh and regressions are judged."""
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=n) for n in range(29, -1, -1)]
    launched = ask(
        dagster,
        _LAUNCH,
        parameters={
            "assetSelection": [{"path": ["ewma_baselines"]}],
            "partitionNames": [str(day) for day in days],
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    # The daemon looks for backfills every 30 s, first when it starts.
    with started(dagster, dagster_processes(dagster)[2]):
        watch(dagster, launched["backfillId"], set(days))


def watch(settings: Settings, backfill_id: str, days: set[date]) -> None:
    """Wait until backfill and freshness are what they should be."""
    state: dict[str, Any] = {}

    def over() -> bool:
        state.update(ask(settings, _BACKFILL, id=backfill_id))
        return state["partitionBackfillOrError"]["status"] != "REQUESTED"

    wait_for(over, "the backfill", timeout_s=200)
    assert state["partitionBackfillOrError"]["status"] == "COMPLETED_SUCCESS", state
    (counts,) = state["partitionBackfillOrError"]["assetBackfillData"]["assetBackfillStatuses"]
    assert counts == {"numPartitionsMaterialized": 30, "numPartitionsFailed": 0}
    assert [run["status"] for run in state["runsOrError"]["results"]] == ["SUCCESS"]
    assert stored_days(settings) == days

    def fresh() -> bool:
        (node,) = ask(settings, _FRESHNESS)["assetNodes"]
        return bool(node["freshnessStatusInfo"]["freshnessStatus"] == "HEALTHY")

    wait_for(fresh, "llm_traces to be fresh", timeout_s=90)
    (node,) = ask(settings, _FRESHNESS)["assetNodes"]
    (event,) = node["assetMaterializations"]
    figures = {entry["label"]: entry.get("intValue") for entry in event["metadataEntries"]}
    assert figures["new_rows"] == figures["dagster/row_count"] == 125

    def judged() -> bool:
        return bool(ask(settings, _TICKS)["sensorOrError"]["sensorState"]["ticks"])

    wait_for(judged, "a tick of the regression sensor", timeout_s=60)
    (tick,) = ask(settings, _TICKS)["sensorOrError"]["sensorState"]["ticks"]
    assert tick["error"] is None, tick
    assert "series until" in tick["skipReason"]


def stored_days(settings: Settings) -> set[date]:
    """Days that have baselines."""
    with connect(settings) as client:
        return {day for (day,) in client.query("SELECT DISTINCT as_of FROM kpi_baselines").result_rows}
