"""``assay otel backfill``: what stands in the OpenTelemetry Collector's table from before Assay."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import redis
import typer
from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.cli.moments import zoned
from assay.settings import SettingsError, load_settings
from assay.warehouse.retention import RetentionError

if TYPE_CHECKING:
    from assay.cli.backfill import Report

app = typer.Typer(
    help="The table of an OpenTelemetry Collector's ClickHouse exporter (ASSAY_OTEL_TRACES_TABLE).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_INTERRUPTED: Final = 130


@app.command()
def backfill(
    since: Annotated[str, typer.Option(help="First moment, with its zone: 2026-01-31T00:00:00Z.")],
    until: Annotated[
        str, typer.Option(help="First moment that is not of it, with its zone.  [default: now]")
    ] = "",
    anew: Annotated[
        bool, typer.Option("--anew", help="From --since on, even where an earlier run had come further.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="No progress; print one JSON object.")] = False,
) -> None:
    """Take over the model calls of a period, the oldest first; returns when they are queryable.

    A call that is there already, by an earlier run or by the live bridge, is not stored twice: it is safe to
    repeat. A run that was interrupted is continued by the same command.
    """
    first = zoned("--since", since)
    last = zoned("--until", until) if until else datetime.now(UTC)
    if first >= last:
        raise typer.BadParameter(f"--since {since} has to be before --until ({last.isoformat()})")
    # What reads and maps is loaded where it is needed: the supervisor idles in little memory.
    from assay.cli.backfill import BackfillError, run
    from assay.cli.loading import LoadError
    from assay.collector.otel_traces.table import TableError

    try:
        report = run(load_settings(), first, last, anew=anew, hidden=as_json)
    except (BackfillError, LoadError, TableError, RetentionError, SettingsError) as error:
        _fail(str(error))
    except (ClickHouseError, redis.RedisError) as error:
        _fail(f"{error}\nOnce that is mended, the same command goes on where it stopped.")
    if as_json:
        typer.echo(json.dumps(_as_dict(report)))
    else:
        typer.echo(_in_words(report))
    if not report.complete:
        raise typer.Exit(_INTERRUPTED)


def _as_dict(report: Report) -> dict[str, object]:
    return {
        "table": report.table,
        "since": report.first.isoformat(),
        "until": report.until.isoformat(),
        "complete": report.complete,
        "rows": report.rows,
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "queued": report.queued,
        "skipped": report.skipped,
        "rejected": report.rejected,
        "rejected_before": report.noted_before,
        "reasons": [
            {"field": name, "count": count, "for_example": reason}
            for name, (count, reason) in report.reasons.items()
        ],
        "seconds": report.seconds,
    }


def _in_words(report: Report) -> str:
    from assay.cli.backfill import written

    lines = [
        f"{report.table}, {written(report.first)} to {written(report.until)}, {report.seconds:,.1f} s",
        f"{report.rows:>15,} rows read",
        f"{report.accepted:>15,} calls accepted",
        f"{report.duplicates:>15,} calls that were there already",
        f"{report.skipped:>15,} skipped: they call no model",
        f"{report.rejected:>15,} rejected"
        + (f", {report.noted_before:,} of them by an earlier run" if report.noted_before else ""),
    ]
    lines += [
        f"{count:>19,} {name or 'as a whole'}: {reason}" for name, (count, reason) in report.reasons.items()
    ]
    if report.rejected:
        lines.append(
            "Why, one by one: assay sql \"SELECT * FROM ingest_rejects WHERE source = 'otel_traces'\""
        )
    if not report.complete:
        lines.append(
            f"Interrupted: {report.queued:,} calls are queued and will be stored. The same --since goes on "
            "from there; nothing counts twice."
        )
    return "\n".join(lines)


def _fail(message: str) -> NoReturn:
    typer.secho(message, fg=typer.colors.RED, err=True)
    raise typer.Exit(1)
