"""``assay export``: what finance takes away, a month at a time."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.settings import SettingsError, load_settings
from assay.warehouse.client import connect

app = typer.Typer(help="Write a month of costs to a file.", no_args_is_help=True, rich_markup_mode=None)


class Format(StrEnum):
    """How the file is written."""

    CSV = "csv"
    PARQUET = "parquet"


_FORMATS: Final = {Format.CSV: "CSVWithNames", Format.PARQUET: "Parquet"}
# As FOCUS and spreadsheets have it: moments in ISO 8601, an empty cell where nothing is known (`\N` is text).
_CSV: Final = {"date_time_output_format": "iso", "format_csv_null_representation": ""}


class _Export(NamedTuple):
    """What is exported.

    Attributes:
        month: its first day, as an expression.
        order: so that the same month is the same file.
    """

    mart: str
    month: str
    order: str


_CHARGEBACK: Final = _Export("chargeback_monthly", "month", "tenant_id")
_FOCUS: Final = _Export(
    "focus_charges",
    "toDate(BillingPeriodStart)",
    "ChargePeriodStart, SubAccountId, SkuPriceId, ChargeDescription",
)
_CREDITS: Final = _Export("credits_monthly", "month", "contract_id")
_PROVISIONED: Final = _Export("provisioned_monthly", "month", "contract_id")

Month = Annotated[str, typer.Option(help="Which month, for example 2026-11.")]
As = Annotated[Format, typer.Option("--format", help="How the file is written.")]
File = Annotated[
    Path | None,
    typer.Option(dir_okay=False, help="Where to; what is there is replaced. Unset: standard output."),
]


@app.command()
def chargeback(month: Month, as_format: As = Format.CSV, file: File = None) -> None:
    """What each tenant is charged for a month of its own time zone: shared costs, credits, its currency."""
    _export(_CHARGEBACK, _first_day(month), as_format, file)


@app.command()
def focus(month: Month, as_format: As = Format.CSV, file: File = None) -> None:
    """A month of charges (UTC) in the columns of the FinOps specification FOCUS 1.2."""
    _export(_FOCUS, _first_day(month), as_format, file)


@app.command()
def credits(month: Month, as_format: As = Format.CSV, file: File = None) -> None:
    """What each credit paid in a month (UTC), and what is left of it."""
    _export(_CREDITS, _first_day(month), as_format, file)


@app.command()
def provisioned(month: Month, as_format: As = Format.CSV, file: File = None) -> None:
    """What each provisioned capacity cost in a month (UTC), served and left unused."""
    _export(_PROVISIONED, _first_day(month), as_format, file)


def _first_day(month: str) -> date:
    if not re.fullmatch(r"\d{4}-\d{2}", month):
        raise typer.BadParameter(f"--month {month}: must be a year and a month, for example 2026-11")
    try:
        return datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise typer.BadParameter(f"--month {month}: there is no such month") from error


def _export(export: _Export, month: date, as_format: Format, file: Path | None) -> None:
    if file is None and as_format is Format.PARQUET and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is not for a terminal: name a file with --file")
    try:
        with connect(load_settings()) as client:
            content = client.raw_query(
                f"SELECT * FROM {export.mart} WHERE {export.month} = {{month:Date}} ORDER BY {export.order}",
                parameters={"month": month},
                settings=dict(_CSV),
                fmt=_FORMATS[as_format],
            )
            if not _has_rows(content, as_format):
                _fail(_nothing(client, export, month))
        if file is None:
            sys.stdout.buffer.write(content)
        else:
            _replace(file, content)
    except (SettingsError, ClickHouseError, OSError) as error:
        _fail(str(error))


def _has_rows(content: bytes, as_format: Format) -> bool:
    if as_format is Format.PARQUET:
        return bool(pq.ParquetFile(pa.BufferReader(content)).metadata.num_rows)
    return content.count(b"\n") > 1


def _nothing(client: Client, export: _Export, month: date) -> str:
    """That a month has no rows, and which have."""
    found = client.query(
        f"SELECT DISTINCT {export.month} AS month FROM {export.mart} ORDER BY month"
    ).result_rows
    said = f"{export.mart} has no rows for {month:%Y-%m}, so nothing was written"
    if not found:
        return f"{said}; it has none for any month"
    return f"{said}; it has some for {_spans([day for (day,) in found])}"


def _spans(months: Sequence[date]) -> str:
    """``2025-10 to 2026-01, 2026-03``: months in their order, those that follow on one another together."""
    runs: list[list[date]] = []
    for month in months:
        if runs and month == (runs[-1][-1] + timedelta(days=31)).replace(day=1):
            runs[-1].append(month)
        else:
            runs.append([month])
    return ", ".join(
        f"{run[0]:%Y-%m} to {run[-1]:%Y-%m}" if len(run) > 1 else f"{run[0]:%Y-%m}" for run in runs
    )


def _replace(file: Path, content: bytes) -> None:
    """Write beside the file and take its place at the end: whoever reads it never sees half a month."""
    beside = file.with_name(f".{file.name}.part")
    try:
        beside.write_bytes(content)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def _fail(message: str) -> NoReturn:
    typer.secho(message, fg=typer.colors.RED, err=True)
    raise typer.Exit(1)
