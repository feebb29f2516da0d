"""``assay retention``: how long raw records are kept, on which volumes; what is kept for good, compacted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, NoReturn

import redis
import typer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table

from assay.settings import SettingsError, load_settings
from assay.warehouse import retention
from assay.warehouse.client import connect
from assay.warehouse.retention import Retention, RetentionError

app = typer.Typer(
    help="How long raw records are kept, and on which volumes (ASSAY_RETENTION_FILE).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def apply() -> None:
    """Make the store keep its raw tables as the file says. `assay up` does so at every start."""
    with _store() as (client, policy):
        changed = retention.apply(client, policy)
    typer.echo(f"changed: {', '.join(changed)}" if changed else "Nothing to change.")


@app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """What the store keeps, how, and how much of it lies on which disk."""
    with _store() as (client, policy):
        found = retention.show(client, policy)
    if as_json:
        tables = [
            {
                "table": kept.table,
                "ttl": kept.ttl,
                "as_configured": kept.ttl == kept.wanted,
                "storage_policy": kept.storage_policy,
                "bytes_by_disk": kept.bytes_by_disk,
            }
            for kept in found
        ]
        typer.echo(json.dumps({"tables": tables}))
        return
    table = Table("table", "kept", "as the file says", "disks")
    for kept in found:
        table.add_row(
            kept.table,
            _in_words(kept.ttl),
            "yes" if kept.ttl == kept.wanted else "no: assay retention apply",
            "\n".join(f"{disk} {size / 1e6:,.1f} MB" for disk, size in kept.bytes_by_disk.items()) or "empty",
        )
    Console().print(table)


@app.command()
def compact(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Merge the rollups of months that are over to one part each, without rows that corrections left at zero.

    Dagster does so every month. It may run at any time, beside the writers, and again.
    """
    # Queue and store are loaded where they are needed: the supervisor idles in little memory.
    from assay.collector.writer.lock import Exclusive, UnfinishedBlockError
    from assay.warehouse import compaction, mutations

    try:
        settings = load_settings()
        with connect(settings) as client:
            done = compaction.compact(client, datetime.now(UTC), guard=Exclusive(settings.redis, client))
    except (
        *(ClickHouseError, SettingsError, redis.RedisError),
        *(UnfinishedBlockError, mutations.MutationError),
    ) as error:
        _fail(error)
    if as_json:
        typer.echo(json.dumps({"months": [asdict(month) for month in done]}))
        return
    if not done:
        typer.echo("Nothing to compact.")
        return
    table = Table("rollup", "month", "parts", "rows", "MB")
    for month in done:
        table.add_row(
            month.table,
            month.month,
            f"{month.parts_before} → {month.parts_after}",
            f"{month.rows_before:,} → {month.rows_after:,}",
            f"{month.bytes_before / 1e6:,.1f} → {month.bytes_after / 1e6:,.1f}",
        )
    Console().print(table)


def _in_words(ttl: str) -> str:
    steps = re.findall(r"toIntervalDay\((\d+)\)(?: TO VOLUME '(\w+)')?", ttl)
    return ", ".join(
        f"{volume} from day {day}" if volume else f"gone after day {day}" for day, volume in steps
    ) or (ttl or "for good")


@contextmanager
def _store() -> Iterator[tuple[Client, Retention]]:
    try:
        settings = load_settings()
        policy = retention.load(settings.retention_file)
        with connect(settings) as client:
            yield client, policy
    except (ClickHouseError, SettingsError, RetentionError) as error:
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    typer.secho(str(error), fg=typer.colors.RED, err=True)
    raise typer.Exit(1) from error
