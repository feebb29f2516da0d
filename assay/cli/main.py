"""The ``assay`` command."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table

from assay.cli import console, export, keys, otel, prices, retention
from assay.cli.bench import bench
from assay.cli.calibrate import calibrate
from assay.cli.embed import embed
from assay.cli.erase import erase_tenant
from assay.cli.services import CHOICES, everything
from assay.cli.status import collect
from assay.cli.up import supervise
from assay.settings import Settings, SettingsError, load_settings
from assay.warehouse.client import connect

app = typer.Typer(
    help="Watches what LLM traffic costs and what it is worth, in real time, and acts on both.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
alerts_app = typer.Typer(help="See and answer alerts.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(alerts_app, name="alerts")
simulate_app = typer.Typer(
    help="Generated traffic, marked as such, for trying things out.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(simulate_app, name="simulate")
app.command()(calibrate)
app.command()(embed)
app.command()(erase_tenant)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["-h"]}
)(bench)
app.add_typer(export.app, name="export")
app.add_typer(keys.app, name="keys")
app.add_typer(otel.app, name="otel")
app.add_typer(retention.app, name="retention")
app.add_typer(prices.app, name="prices")
app.command("reprice")(prices.reprice_command)

out = Console()
DataDir = Annotated[Path | None, typer.Option(help="State of the embedded services (ASSAY_DATA_DIR).")]


class Kind(StrEnum):
    """What ``assay load`` reads."""

    SPANS = "spans"
    EVALUATIONS = "evaluations"
    FEEDBACK = "feedback"
    OUTCOMES = "outcomes"
    LABELS = "labels"
    TASK_TIMES = "task-times"
    EXAMPLES = "examples"
    INVOICES = "invoices"
    CONTRACTS = "contracts"
    EXCHANGE_RATES = "exchange-rates"
    DEPLOYMENTS = "deployments"
    INCIDENTS = "incidents"
    TENANTS = "tenants"


class Format(StrEnum):
    """How the file is written."""

    NATIVE = "native"
    AZURE = "azure"
    MOONCAKE = "mooncake"


@app.command()
def up(
    demo: Annotated[
        bool, typer.Option(help="30 days of generated history, live traffic, an incident.")
    ] = False,
    data_dir: DataDir = None,
    only: Annotated[str, typer.Option(help=f"Comma-separated choice of {', '.join(CHOICES)}.")] = "",
) -> None:
    """Run the services in the foreground; Ctrl-C stops all."""
    settings = _settings(data_dir)
    chosen = tuple(name.strip() for name in only.split(",") if name.strip()) or CHOICES
    if unknown := [name for name in chosen if name not in CHOICES]:
        raise typer.BadParameter(f"--only: unknown {', '.join(unknown)}; choose from {', '.join(CHOICES)}")
    if only and "otel" in chosen and settings.otel_traces_table is None:
        raise typer.BadParameter("--only: otel reads the table that ASSAY_OTEL_TRACES_TABLE names; set it")
    supervise(settings, chosen, demo=demo)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Whether each service does its work. Exits with 1 where one does not."""
    settings = _settings(data_dir)
    state = asyncio.run(collect(settings, everything(settings)))
    if as_json:
        out.print_json(json.dumps(state.as_dict()))
    else:
        table = Table("service", "state", "pid", "CPU %", "RSS MB", "where")
        for s in state.services:
            table.add_row(
                s.name,
                "[green]healthy[/]" if s.healthy else f"[red]{s.detail}[/]",
                *(str(s.pid or ""), f"{s.cpu_percent:.1f}", f"{s.rss_mb:.0f}", s.url),
            )
        out.print(
            table if state.services else "Nothing is running on this data directory; start it: assay up"
        )
    raise typer.Exit(0 if state.healthy else 1)


@app.command()
def load(
    kind: Kind,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    file_format: Annotated[Format, typer.Option("--format", help="How the file is written.")] = Format.NATIVE,
    as_json: Annotated[bool, typer.Option("--json", help="No progress bar; the counts alone.")] = False,
) -> None:
    """Load records from .ndjson, .csv or .parquet (also .gz, .zst); returns when they are queryable."""
    # Readers and simulator are loaded where they are needed: the supervisor idles in little memory.
    from assay.cli.files import FileError
    from assay.cli.loading import KINDS, PUBLIC_FORMATS, LoadError, load_file
    from assay.simulator.public_traces import TraceError

    if file_format.value in PUBLIC_FORMATS and kind is not Kind.SPANS:
        raise typer.BadParameter(
            f"--format {file_format.value} holds spans: assay load spans FILE --format …"
        )
    settings = _settings(None)
    with console.progress(hidden=as_json) as bar:
        try:
            counts = load_file(settings, KINDS[kind.value], file, file_format.value, bar)
        except (FileError, TraceError, LoadError) as error:
            bar.stop()
            _fail(str(error))
    typer.echo(json.dumps(counts))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="A SELECT, or any other statement.")],
    output_format: Annotated[
        str, typer.Option("--format", help="A ClickHouse format.")
    ] = "PrettyCompactMonoBlock",
) -> None:
    """Run one statement on the store and print its answer."""
    with _store() as client:
        answer = client.raw_query(query, fmt=output_format)
    sys.stdout.buffer.write(answer)


@alerts_app.command("list")
def alerts_list(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False,
) -> None:
    """The alerts that are not resolved."""
    wanted = "" if everything else "WHERE status != 'resolved'"
    with _store() as client:
        rows = client.query(
            "SELECT alert_id, level, tenant_id, rule, status, toString(opened_at) AS opened_at, summary "
            f"FROM alerts_current {wanted} ORDER BY opened_at DESC"
        )
    found = list(rows.named_results())
    if as_json:
        out.print_json(json.dumps({"alerts": found}))
        return
    if not found:
        out.print("No alerts." if everything else "No open alerts.")
    for row in found:
        colour = {"page": "red", "investigate": "yellow"}.get(row["level"], "white")
        out.print(
            f"[bold {colour}]{row['level'].upper()}[/] [bold]{row['tenant_id'] or 'all tenants'}[/] "
            f"{row['rule']}, {row['status']} since {row['opened_at'][:19]} UTC  [dim]{row['alert_id']}[/]\n"
            f"  {row['summary']}",
            highlight=False,
        )


@alerts_app.command("ack")
def alerts_ack(alert_id: str, by: Annotated[str, typer.Option(help="Who is looking at it.")]) -> None:
    """Acknowledge an alert: somebody is looking at it."""
    from sensors import alerts as lifecycle

    with _store() as client:
        try:
            lifecycle.acknowledge(client, alert_id, by=by)
        except lifecycle.UnknownAlertError as error:
            _fail(str(error))
    typer.echo(f"{alert_id} acknowledged by {by}")


@alerts_app.command("resolve")
def alerts_resolve(alert_id: str, by: Annotated[str, typer.Option(help="Who resolved it.")]) -> None:
    """Resolve an alert by hand."""
    from sensors import alerts as lifecycle

    with _store() as client:
        try:
            lifecycle.resolve(client, alert_id, by=by)
        except lifecycle.UnknownAlertError as error:
            _fail(str(error))
    typer.echo(f"{alert_id} resolved by {by}")


@simulate_app.command("traffic")
def simulate_traffic(
    rate: Annotated[float, typer.Option(min=0.01, max=500, help="Calls a second on average.")] = 4.0,
    duration: Annotated[float, typer.Option(min=0, help="Seconds; 0: until Ctrl-C.")] = 0,
) -> None:
    """Send live traffic to the collector over HTTP."""
    from assay.simulator import live

    sent = asyncio.run(live.run(_settings(None), rate=rate, duration_s=duration))
    typer.echo(json.dumps({"accepted": sent}))


@simulate_app.command("history")
def simulate_history(
    days: Annotated[int, typer.Option(min=1, max=365, help="Days up to now.")] = 30,
    volume: Annotated[float, typer.Option(min=0.001, max=100, help="1: about 7,500 calls a weekday.")] = 1.0,
) -> None:
    """Load generated days through the queue, with scores, outcomes and labels, and their baselines."""
    from assay.cli.demo import load_past
    from assay.cli.loading import LoadError

    settings = _settings(None)
    with console.progress() as bar:
        try:
            loaded = load_past(settings, bar, days=days, volume=volume)
        except LoadError as error:
            bar.stop()
            _fail(str(error))
    typer.echo(json.dumps({"accepted": loaded.counts, "baselines": loaded.baselines}))


@simulate_app.command("incident")
def simulate_incident(
    in_seconds: Annotated[float, typer.Option(min=0, help="Seconds from now.")] = 25,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long it lasts.")] = 15,
) -> None:
    """Let the running traffic move one template to another model: cost × 3, worse answers."""
    from assay.cli.demo import schedule_incident

    planned = schedule_incident(_settings(None), in_seconds=in_seconds, minutes=minutes)
    typer.echo(json.dumps({"start": planned.start.isoformat(), "end": planned.end.isoformat()}))


def _settings(data_dir: Path | None) -> Settings:
    try:
        settings = load_settings()
    except SettingsError as error:
        _fail(str(error))
    # A copy keeps what only the environment can give (names of providers' own variables).
    return settings if data_dir is None else settings.model_copy(update={"data_dir": data_dir.resolve()})


@contextmanager
def _store() -> Iterator[Client]:
    """A client on the store; what the store refuses ends the command with its words, not with a traceback."""
    settings = _settings(None)
    try:
        with connect(settings) as client:
            yield client
    except ClickHouseError as error:
        _fail(f"The store at {settings.clickhouse} refused or is not there (`assay up` starts it): {error}")


def _fail(message: str) -> NoReturn:
    typer.secho(message, fg=typer.colors.RED, err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
