"""How long raw records are kept and on which volumes: one file, applied as TTL and storage policy.

Nothing here deletes a row: the store moves parts and drops what has expired by itself, in the background.
Rollups are written when a record arrives, so a raw row that expires takes nothing out of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Self

import yaml
from clickhouse_connect.driver.client import Client
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Days = Annotated[int, Field(ge=1, le=36_500)]
# A name goes into a statement as it is.
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]

# Tables without a `retention_start` of their own: the expression that stands in for it.
_STARTS: Final = {"ingest_rejects": "toDate(received_at)"}
# A changed TTL is worked out for the parts that are there, then they are moved and dropped in the background;
# they are not rewritten for it.
_TABLE_SETTINGS: Final = {"materialize_ttl_recalculate_only": "1"}


class RetentionError(ValueError):
    """The file cannot be used, or does not fit the store; the message says where and what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Storage(_Part):
    """A storage policy of the store, and the names of its slower volumes."""

    policy: Name
    warm: Name
    cold: Name


class Class(_Part):
    """Ages in days. What is not given does not happen."""

    warm_after_days: Days | None = None
    cold_after_days: Days | None = None
    delete_after_days: Days | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        given = [
            d for d in (self.warm_after_days, self.cold_after_days, self.delete_after_days) if d is not None
        ]
        if not given:
            raise ValueError("needs at least one of warm_after_days, cold_after_days, delete_after_days")
        if given != sorted(set(given)):
            raise ValueError("warm_after_days < cold_after_days < delete_after_days must hold")
        return self


class Retention(_Part):
    """The whole file."""

    storage: Storage | None
    classes: dict[str, Class]
    tables: dict[Name, str]

    @model_validator(mode="after")
    def _classes_are_known(self) -> Self:
        for table, name in self.tables.items():
            if name not in self.classes:
                raise ValueError(f"tables.{table}: no class {name!r}; choose from {', '.join(self.classes)}")
        return self

    def ttl(self, table: str) -> str:
        """The TTL of a table, written as the store itself writes it."""
        ages, start = self.classes[self.tables[table]], _STARTS.get(table, "retention_start")
        steps = []
        if self.storage is not None and ages.warm_after_days is not None:
            steps.append(f"{start} + toIntervalDay({ages.warm_after_days}) TO VOLUME '{self.storage.warm}'")
        if self.storage is not None and ages.cold_after_days is not None:
            steps.append(f"{start} + toIntervalDay({ages.cold_after_days}) TO VOLUME '{self.storage.cold}'")
        if ages.delete_after_days is not None:
            steps.append(f"{start} + toIntervalDay({ages.delete_after_days})")
        return ", ".join(steps)


@dataclass(frozen=True)
class Kept:
    """A table as the store keeps it.

    Attributes:
        ttl: as the store writes it; empty: kept for good.
        wanted: the policy's; differs where it was not applied.
        storage_policy: of the store.
        bytes_by_disk: compressed, of the active parts.
    """

    table: str
    ttl: str
    wanted: str
    storage_policy: str
    bytes_by_disk: dict[str, int]


def load(file: Path | None) -> Retention:
    """The policy of a file, or the shipped one.

    Raises:
        RetentionError: naming the file, the field and what it should hold.
    """
    source = Path(str(resources.files("assay.warehouse") / "retention.yml")) if file is None else file
    try:
        return Retention.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except OSError as error:
        raise RetentionError(f"{source}: {error.strerror} (ASSAY_RETENTION_FILE)") from error
    except yaml.YAMLError as error:
        raise RetentionError(f"{source}: not YAML: {error}") from error
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in e['loc']) or 'file'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise RetentionError(f"{source}: {'; '.join(lines)}") from error


def apply(client: Client, policy: Retention) -> list[str]:
    """Make the store keep its raw tables as the policy says; return the tables that were changed.

    Everything is checked before the first table is changed. Repeated, it does nothing.

    Raises:
        RetentionError: the store lacks a table, a storage policy or a volume.
    """
    _check(client, policy)
    changed = []
    for kept in show(client, policy):
        settings = dict(_TABLE_SETTINGS)
        if policy.storage is not None and any(_moves(policy, kept.table)):
            settings["storage_policy"] = policy.storage.policy
        before = _settings(client, kept.table)
        missing = {name: value for name, value in settings.items() if before.get(name) != value}
        if missing:
            values = ", ".join(f"{name} = {_literal(value)}" for name, value in missing.items())
            client.command(f"ALTER TABLE {kept.table} MODIFY SETTING {values}")
        if kept.ttl != kept.wanted:
            client.command(f"ALTER TABLE {kept.table} MODIFY TTL {kept.wanted}")
        if missing or kept.ttl != kept.wanted:
            changed.append(kept.table)
    return changed


def show(client: Client, policy: Retention) -> list[Kept]:
    """The policy's tables as the store keeps them now."""
    rows = client.query(
        "SELECT name, engine_full, storage_policy, disks.1, disks.2 FROM system.tables AS t LEFT JOIN ("
        "SELECT table, groupArray((disk_name, bytes)) AS disks FROM ("
        "SELECT table, disk_name, sum(bytes_on_disk) AS bytes FROM system.parts "
        "WHERE database = currentDatabase() AND active AND rows > 0 "
        "GROUP BY table, disk_name ORDER BY disk_name"
        ") GROUP BY table) AS p ON p.table = t.name "
        "WHERE database = currentDatabase() AND name IN {tables:Array(String)} ORDER BY name",
        parameters={"tables": list(policy.tables)},
    ).result_rows
    return [
        Kept(name, _ttl_of(engine), policy.ttl(name), storage, dict(zip(disks, sizes, strict=True)))
        for name, engine, storage, disks, sizes in rows
    ]


def forgotten(client: Client, policy: Retention, first: date, last: date) -> date | None:
    """The last day of a period of which calls were counted that the store will not know again.

    Rollups outlive raw rows, and the identities that keep a record from being stored twice go with these.
    What is loaded again of such a day would count a second time. What a load itself stores is kept from the
    day of loading on, however old it is, and is known as long.

    Args:
        first, last: of the period, both of it (UTC).

    Returns:
        None where all that was counted is known still, or nothing was counted.
    """
    there = client.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'llm_kpi_1d'"
    ).result_rows[0][0]
    if not there:
        return None
    ages = policy.classes.get(policy.tables.get("ingest_identity", ""))
    # A row that is due goes within hours, its identity maybe before it.
    due = (
        ""
        if ages is None or ages.delete_after_days is None
        else "AND retention_start > today() - {age:Int64}"
    )
    found: date | None = client.query(
        "SELECT max(toNullable(day)) FROM (SELECT day, sum(counted) AS calls, sum(known) AS kept FROM ("
        "SELECT toDate(period_start) AS day, sum(request_count) AS counted, 0 AS known FROM llm_kpi_1d "
        "WHERE toDate(period_start) BETWEEN {first:Date} AND {last:Date} GROUP BY day UNION ALL "
        "SELECT toDate(timestamp) AS day, 0 AS counted, sumIf(sign, billed) AS known FROM llm_traces "
        f"WHERE toDate(timestamp) BETWEEN {{first:Date}} AND {{last:Date}} {due} GROUP BY day"
        ") GROUP BY day) WHERE kept < calls",
        parameters={"first": first, "last": last, "age": ages.delete_after_days or 0 if ages else 0},
    ).result_rows[0][0]
    return found


def _check(client: Client, policy: Retention) -> None:
    """Raises:
    RetentionError: the store lacks something that the policy names.
    """
    columns = client.query(
        "SELECT table, groupArray(name) FROM system.columns WHERE database = currentDatabase() "
        "AND table IN {tables:Array(String)} GROUP BY table",
        parameters={"tables": list(policy.tables)},
    ).result_rows
    found: dict[str, list[str]] = {str(table): names for table, names in columns}
    for table in policy.tables:
        if table not in found:
            raise RetentionError(f"tables.{table}: the store has no such table")
        if table not in _STARTS and "retention_start" not in found[table]:
            raise RetentionError(f"tables.{table}: it has no retention_start from which days could count")
    if policy.storage is None or not any(any(_moves(policy, table)) for table in policy.tables):
        return
    storage = policy.storage
    volumes = [
        volume
        for (volume,) in client.query(
            "SELECT volume_name FROM system.storage_policies WHERE policy_name = {policy:String}",
            parameters={"policy": storage.policy},
        ).result_rows
    ]
    wanted = ("default", storage.warm, storage.cold)
    if missing := [volume for volume in wanted if volume not in volumes]:
        what = f"volumes {', '.join(missing)} of its" if volumes else "a"
        raise RetentionError(
            f"the store lacks {what} storage policy '{storage.policy}': define it in the server's "
            f"storage_configuration with volumes {', '.join(wanted)} (docs/retention.md has the file), or "
            "keep everything on one disk: `storage: null` in the file that ASSAY_RETENTION_FILE names"
        )


def _moves(policy: Retention, table: str) -> tuple[bool, bool]:
    ages = policy.classes[policy.tables[table]]
    return ages.warm_after_days is not None, ages.cold_after_days is not None


def _ttl_of(engine_full: str) -> str:
    _, found, rest = engine_full.partition(" TTL ")
    return rest.partition(" SETTINGS ")[0] if found else ""


def _settings(client: Client, table: str) -> dict[str, str]:
    """The settings that a table has of its own."""
    engine = client.query(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        parameters={"table": table},
    ).result_rows[0][0]
    pairs = (pair.split(" = ", 1) for pair in engine.partition(" SETTINGS ")[2].split(", "))
    return {pair[0]: pair[1].strip("'") for pair in pairs if len(pair) == 2}


def _literal(value: str) -> str:
    return value if value.isdigit() else f"'{value}'"
