"""Whether Dagster's processes do their work: asked over gRPC's health protocol and GraphQL."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

Check = Callable[[], Awaitable[str]]

_TIMEOUT_S = 5.0
# A daemon says every 30 s that it is alive, and within one long iteration more.
_MAX_HEARTBEAT_AGE_S = 120.0

_LOCATION = """
query Location {
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries { name loadStatus locationOrLoadError { __typename ... on PythonError { message } } }
    }
    ... on PythonError { message }
  }
}
"""
_DAEMONS = """
query Daemons {
  instance {
    daemonHealth {
      allDaemonStatuses { daemonType required healthy lastHeartbeatTime lastHeartbeatErrors { message } }
    }
  }
}
"""


def code_server(address: str) -> Check:
    """A check that the code server answers. ``address`` is gRPC's, for example ``unix:/path``."""

    async def check() -> str:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await stub.Check(
                    health_pb2.HealthCheckRequest(service="DagsterApi"), timeout=_TIMEOUT_S
                )
            except grpc.aio.AioRpcError as error:
                return f"{address}: {error.code().name} {error.details()}"
        serving = answer.status == health_pb2.HealthCheckResponse.SERVING
        return "" if serving else f"{address}: not serving"

    return check


def webserver(url: str, location: str) -> Check:
    """A check that the webserver answers and has loaded the definitions."""

    async def check() -> str:
        try:
            data = await _graphql(url, _LOCATION)
        except httpx.HTTPError as error:
            return f"{url}: {error or type(error).__name__}"
        return location_problem(data, location)

    return check


def daemon(url: str) -> Check:
    """A check that every required daemon is alive and without an error."""

    async def check() -> str:
        try:
            data = await _graphql(url, _DAEMONS)
        except httpx.HTTPError as error:
            return f"{url}: {error or type(error).__name__}"
        return daemon_problem(data, time.time())

    return check


def location_problem(data: dict[str, Any], location: str) -> str:
    """What keeps the location from being loaded; "" if nothing does."""
    workspace = data["workspaceOrError"]
    if workspace["__typename"] != "Workspace":
        return f"workspace: {workspace['message']}"
    entries = {entry["name"]: entry for entry in workspace["locationEntries"]}
    if location not in entries:
        return f"code location {location}: not known yet"
    entry = entries[location]
    loaded = entry["locationOrLoadError"]
    if loaded is not None and loaded["__typename"] == "PythonError":
        return f"code location {location}: {loaded['message'].strip()}"
    return "" if loaded is not None else f"code location {location}: {entry['loadStatus'].lower()}"


def daemon_problem(data: dict[str, Any], now: float) -> str:
    """Which required daemons are silent or report errors; "" if none. ``now`` in Unix seconds.

    Dagster calls a daemon healthy for half an hour after its last heartbeat, even across a restart: here it
    has to be recent.
    """
    problems = []
    for status in data["instance"]["daemonHealth"]["allDaemonStatuses"]:
        if not status["required"]:
            continue
        name, at = status["daemonType"].lower(), status["lastHeartbeatTime"]
        if at is None or now - at > _MAX_HEARTBEAT_AGE_S:
            problems.append(f"{name}: no heartbeat" + ("" if at is None else f" for {now - at:.0f} s"))
        elif not status["healthy"] or status["lastHeartbeatErrors"]:
            errors = "; ".join(error["message"].strip() for error in status["lastHeartbeatErrors"])
            problems.append(f"{name}: {errors or 'not healthy'}")
    return ", ".join(problems)


async def _graphql(url: str, query: str) -> dict[str, Any]:
    # Plain HTTP on this machine: the list of authorities, loaded for every client, would cost more than
    # the question.
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, verify=False) as client:
        answer = await client.post(f"{url}/graphql", json={"query": query})
        answer.raise_for_status()
    data: dict[str, Any] = answer.json()["data"]
    return data
