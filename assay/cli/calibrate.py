"""``assay calibrate``: how far an evaluator agrees with people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table

from assay.settings import SettingsError, load_settings
from assay.warehouse.client import connect


def calibrate(
    evaluator: Annotated[str, typer.Argument(help="Its name, or NAME@VERSION.")],
    votes: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="CSV of votes between two answers (MT-bench)."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="NDJSON or CSV of human labels."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare an evaluator with human ratings: from a file, or from the store, where the result is kept."""
    # scipy is loaded where it is needed: the supervisor idles in little memory.
    from evaluators import calibration, examples

    if votes is not None and labels is not None:
        raise typer.BadParameter("--votes and --labels exclude each other")
    name, _, version = evaluator.partition("@")
    try:
        if votes is not None:
            result = calibration.calibrate(examples.read_votes(votes), evaluator=name, version=version)
        elif labels is not None and (alone := examples.read_labels(labels)):
            result = calibration.calibrate(alone, evaluator=name, version=version)
        else:
            with connect(load_settings()) as client:
                if labels is None:
                    result = calibration.calibrate_and_store(client, name, version)
                else:
                    version = version or calibration.only_version(client, name)
                    traces = examples.labelled_traces(labels)
                    judged = examples.scores_of(client, name, version, traces)
                    found = examples.read_labels(labels, judged)
                    result = calibration.calibrate(found, evaluator=name, version=version)
    except (examples.ExamplesError, SettingsError, ClickHouseError) as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(calibration.to_json(result))
        return
    table = Table("figure", "value", title=f"{evaluator} against people")
    for figure, value in result.as_dict().items():
        if figure not in ("evaluator", "version", "map", "gate_reason"):
            table.add_row(figure, _shown(value))
    console = Console()
    console.print(table)
    console.print(f"Gate {result.gate}: {result.gate_reason}.")


def _shown(value: object) -> str:
    if value is None:
        return "not known"
    if isinstance(value, tuple):
        return " to ".join(_shown(part) for part in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
