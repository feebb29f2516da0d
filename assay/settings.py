"""Every setting of every service, read from ``ASSAY_*`` environment variables.

This is the one place that reads the environment. A bad value fails at start with the variable's name.
"""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(ValueError):
    """A setting is wrong; the message names the environment variable and what it should hold."""


class Settings(BaseSettings):
    """Where the parts are and how they behave. The embedded defaults need no variable at all."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_", extra="ignore", frozen=True)

    data_dir: Path = Field(default=Path(".assay"), description="state of the embedded services")
    host: str = Field(
        default="127.0.0.1",
        description="address that the services listen on; embedded stores stay on loopback whatever it is",
    )

    durability: Literal["process", "power"] = Field(
        default="process",
        description="what acknowledged records survive on the embedded stores: the end of any process, or a "
        "power loss as well (every write waits for the disk)",
    )
    retention_file: Path | None = Field(
        default=None, description="how long raw records are kept; unset: the shipped file"
    )
    cold_s3_endpoint: str | None = Field(
        default=None, description="bucket URL of the embedded store's cold volume; unset: a local directory"
    )
    cold_s3_access_key_id: str | None = Field(
        default=None, description="unset: what the environment offers (instance role, …)"
    )
    cold_s3_secret_access_key: SecretStr | None = None
    cold_s3_region: str | None = None
    clickhouse_url: str | None = Field(default=None, description="ClickHouse HTTP URL; unset: embedded")
    clickhouse_port: Port = 18123
    clickhouse_database: str = "llm"
    redis_url: str | None = Field(default=None, description="Redis or Valkey URL; unset: embedded")
    valkey_port: Port = 16379
    collector_port: Port = 4318
    dashboard_port: Port = 8050
    dagster_port: Port = 3000
    judge_double_port: Port = 18080
    webhook_sink_port: Port = 18090

    slack_webhook_url: str | None = Field(
        default=None, description="Slack incoming webhook of the on-call; unset: alerts are stored only"
    )
    experiment_webhook_url: str | None = Field(
        default=None, description="the same for experiments, which never reach the on-call"
    )
    runbook_url: str | None = Field(
        default=None, description="where your on-call's runbook is; unset: messages name docs/alerts.md"
    )
    policy_file: Path | None = Field(default=None, description="regression policy; unset: the shipped one")
    judge_model: str = "claude-haiku-4-5"
    judge_daily_usd: Decimal | None = Field(
        default=Decimal(25), ge=0, description="what the judge may spend in a day (UTC); `none`: no limit"
    )
    judge_concurrency: PositiveInt = Field(default=8, description="calls of the judge's model at a time")
    judge_timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=30, description="how long one call of the judge's model may take"
    )
    judge_repeat_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.1,
        description="share of the judged traces that are judged several times, for the confidence",
    )
    judge_max_age_s: Annotated[float, Field(gt=0)] = Field(
        default=3600,
        description="spans older than this when they arrive are history, which the worker leaves",
    )
    heuristics_beside_judge: bool = Field(
        default=False, description="store the scores of the heuristics where there is a judge, too"
    )

    require_keys: Literal["auto", "always", "never"] = Field(
        default="auto", description="API keys at the collector; `auto`: unless `host` is loopback"
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="API key with which generated traffic is sent, where one is required",
    )

    max_body_bytes: PositiveInt = Field(default=16 << 20, description="largest request body, as it is sent")
    max_decoded_bytes: PositiveInt = Field(default=64 << 20, description="largest request body, decompressed")
    max_waiting_bytes: PositiveInt = Field(
        default=256 << 20, description="bodies in the collector's memory at a time before it answers 503"
    )
    max_connections: PositiveInt = Field(
        default=1000, description="connections to the collector at a time before it answers 503"
    )
    request_timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30, description="how long a request's head, and then its body, may take to arrive"
    )
    queue_max_entries: PositiveInt = Field(
        default=100_000, description="batches that may wait in the queue before the collector answers 503"
    )
    capture_sample_rate: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.1, description="share of traces whose text is kept under the capture policy `sampled`"
    )
    redactor: str | None = Field(
        default=None, description="`module:object` of a Redactor of your own; unset: the shipped patterns"
    )

    otel_traces_table: str | None = Field(
        default=None,
        description="`database.table` of the OpenTelemetry Collector's ClickHouse exporter, whose spans are "
        "taken over; unset: none",
    )
    otel_traces_url: str | None = Field(
        default=None, description="ClickHouse HTTP URL of the server that has this table; unset: our own"
    )
    otel_traces_tenant: str = Field(
        default="",
        description="whose the spans in this table are that name no tenant; unset: their service's",
    )

    embedder: str | None = Field(
        default=None,
        description="`module:object` of an Embedder of your own; unset: the service of `embedding_url`, or "
        "the model that is shipped",
    )
    embedding_url: str | None = Field(
        default=None,
        description="base URL of a service with OpenAI's embeddings protocol; it is sent captured text",
    )
    embedding_model: str = "text-embedding-3-small"
    embedding_api_key: SecretStr | None = Field(default=None, description="sent to the embeddings service")
    embedding_max_characters: Annotated[int, Field(ge=100, le=32_000)] = Field(
        default=6000,
        description="of a longer text, beginning and end are embedded; 6,000 characters are below 8,192 "
        "tokens",
    )
    embedding_daily_texts: PositiveInt = Field(
        default=20_000, description="of the calls of a day, so many are embedded at most: a sample by hash"
    )

    anthropic_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("ASSAY_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY")
    )
    anthropic_base_url: str | None = Field(
        default=None, validation_alias=AliasChoices("ASSAY_ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL")
    )

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("judge_daily_usd", mode="before")
    @classmethod
    def _no_limit(cls, value: object) -> object:
        return None if isinstance(value, str) and value.strip().lower() == "none" else value

    @field_validator(
        *("slack_webhook_url", "experiment_webhook_url", "runbook_url"),
        *("clickhouse_url", "cold_s3_endpoint", "otel_traces_url", "embedding_url"),
    )
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must be an http:// or https:// URL, for example http://localhost:8123")
        return value

    @field_validator("otel_traces_table")
    @classmethod
    def _table(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[^.`\s]+\.[^.`\s]+", value):
            raise ValueError("must be database.table, for example otel.otel_traces")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be a redis://, rediss:// or unix:// URL")
        return value

    @cached_property
    def store_host(self) -> str:
        """Address that the embedded stores listen on: of this machine alone, as they ask for no password."""
        return self.host if is_loopback(self.host) else "127.0.0.1"

    @cached_property
    def clickhouse(self) -> str:
        """URL of the ClickHouse HTTP interface in use, embedded or not."""
        return self.clickhouse_url or f"http://{_in_url(self.store_host)}:{self.clickhouse_port}"

    @cached_property
    def redis(self) -> str:
        """URL of the Redis-protocol server in use, embedded or not."""
        return self.redis_url or f"redis://{_in_url(self.store_host)}:{self.valkey_port}/0"

    @cached_property
    def collector(self) -> str:
        """Base URL of the collector."""
        return f"http://{_in_url(self.host)}:{self.collector_port}"

    @cached_property
    def dashboard(self) -> str:
        """Base URL of the dashboard."""
        return f"http://{_in_url(self.host)}:{self.dashboard_port}"

    @cached_property
    def dagster(self) -> str:
        """Base URL of the Dagster UI."""
        return f"http://{_in_url(self.host)}:{self.dagster_port}"


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Read the settings from the environment, once per process.

    Raises:
        SettingsError: naming each variable that does not fit and what it should hold.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{_variable(e['loc'])}={e['input']!r}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise SettingsError("; ".join(lines)) from error


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine alone; a name other than localhost is
    not taken for one, whatever it resolves to today."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    return name.upper() if name.upper().startswith(("ASSAY_", "ANTHROPIC_")) else f"ASSAY_{name.upper()}"
