"""``assay embed``: captured text and canonical examples into vectors, and the complexities that follow."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table

from assay.cli.console import progress
from assay.settings import SettingsError, load_settings
from assay.warehouse.client import connect


def embed(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Embed captured text and estimate task complexity, as Dagster does hourly."""
    from assay.embedding import embedder as embedders
    from assay.embedding import estimates, texts

    try:
        settings = load_settings()
        chosen = embedders.choose(settings)
        with connect(settings) as client, progress(hidden=as_json) as bars:
            bar = bars.add_task("texts embedded", total=None)

            def note(done: texts.Embedded, found: texts.Waiting) -> None:
                bars.update(bar, completed=done.texts + done.examples, total=found.texts + found.examples)

            done, found = texts.embed(client, chosen, settings, note=note)
            estimated = estimates.refresh(client, embedders.identity(chosen))
    except (SettingsError, embedders.EmbedderError, ClickHouseError) as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "embedder": embedders.identity(chosen),
                    "texts": done.texts,
                    "examples": done.examples,
                    "beyond_daily_limit": found.beyond,
                    "task_types": [row._asdict() for row in estimated],
                }
            )
        )
        return
    console = Console()
    console.print(
        f"{done.texts} texts and {done.examples} examples embedded by {embedders.identity(chosen)}; "
        f"{found.beyond} texts beyond the daily limit.",
        highlight=False,
    )
    if not estimated:
        console.print(
            "No complexity estimated: it takes canonical examples (assay load examples) and captured text of "
            "calls with a task_type."
        )
        return
    table = Table(
        "task type",
        "complexity",
        "quartiles apart",
        "calls",
        "examples",
        "nearest",
        title="In units of the examples",
    )
    for row in estimated:
        table.add_row(
            row.task_type,
            f"{row.complexity:.3f}",
            "not known" if row.complexity_iqr is None else f"{row.complexity_iqr:.3f}",
            str(row.calls),
            str(row.examples),
            f"{row.nearest_distance:.3f}",
        )
    console.print(table)
