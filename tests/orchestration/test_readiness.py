"""What GraphQL's answers say about location and daemons."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.readiness import daemon_problem, location_problem

NOW = 1_700_000_000.0


def entry(name: str, status: str, loaded: dict[str, str] | None) -> dict[str, Any]:
    """One code location as GraphQL gives it."""
    return {"name": name, "loadStatus": status, "locationOrLoadError": loaded}


@pytest.mark.parametrize(
    ("workspace", "problem"),
    [
        ([entry("assay", "LOADED", {"__typename": "RepositoryLocation"})], ""),
        ([entry("assay", "LOADING", None)], "code location assay: loading"),
        (
            [entry("assay", "LOADED", {"__typename": "PythonError", "message": "no such model\n"})],
            "code location assay: no such model",
        ),
        ([], "code location assay: not known yet"),
    ],
)
def test_location(workspace: list[dict[str, Any]], problem: str) -> None:
    """Loaded, loading, broken, unknown."""
    data = {"workspaceOrError": {"__typename": "Workspace", "locationEntries": workspace}}
    assert location_problem(data, "assay") == problem


def test_broken_workspace() -> None:
    """The workspace itself could not be read."""
    data = {"workspaceOrError": {"__typename": "PythonError", "message": "bad file"}}
    assert location_problem(data, "assay") == "workspace: bad file"


def status(**fields: Any) -> dict[str, Any]:
    """A daemon that just said it is well."""
    return {
        "daemonType": "SENSOR",
        "required": True,
        "healthy": True,
        "lastHeartbeatTime": NOW - 10,
        "lastHeartbeatErrors": [],
        **fields,
    }


@pytest.mark.parametrize(
    ("daemons", "problem"),
    [
        ([status()], ""),
        ([status(required=False, healthy=False, lastHeartbeatTime=None)], ""),
        ([status(lastHeartbeatTime=None)], "sensor: no heartbeat"),
        # Before a restart, and healthy as far as Dagster is concerned.
        ([status(lastHeartbeatTime=NOW - 600)], "sensor: no heartbeat for 600 s"),
        ([status(lastHeartbeatErrors=[{"message": "boom\n"}])], "sensor: boom"),
        ([status(healthy=False)], "sensor: not healthy"),
        (
            [status(lastHeartbeatTime=None), status(daemonType="BACKFILL", healthy=False)],
            "sensor: no heartbeat, backfill: not healthy",
        ),
    ],
)
def test_daemons(daemons: list[dict[str, Any]], problem: str) -> None:
    """Only required ones count, and only a recent heartbeat."""
    data = {"instance": {"daemonHealth": {"allDaemonStatuses": daemons}}}
    assert daemon_problem(data, NOW) == problem
