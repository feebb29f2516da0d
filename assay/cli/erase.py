"""``assay erase-tenant``: take a tenant out of everything, for good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, NoReturn

import redis
import typer
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table

from assay.cli.console import stderr
from assay.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from assay.collector.erasure import Place


def erase_tenant(
    tenant: Annotated[str, typer.Argument(help="Its id, exactly.")],
    by: Annotated[str, typer.Option(help="Who asked for it; stays on record.")],
    reason: Annotated[str, typer.Option(help="Why; stays on record, so without the tenant's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds in which running writers may store what is queued.")
    ] = 60,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Take a tenant out of every table, view, stream and volume. Exits with 1 where something is left.

    Calls and scores go through a correction, so that rollups lose them with the raw rows.
    Kept: that there was an erasure, under the hash of the id, and hashes of record ids, so that what a sender
    repeats is not stored again.
    """
    # Queue and store are loaded where they are needed: the supervisor idles in little memory.
    from assay.collector import erasure
    from assay.collector.writer.lock import UnfinishedBlockError
    from assay.warehouse.erasure import ErasureError

    try:
        settings = load_settings()
        if not yes:
            found = erasure.find(settings, tenant)
            for name, count in sorted(found.places.items()):
                stderr.print(f"  {count:>12,}  {name}", highlight=False)
            if not found.places:
                stderr.print(f"Nothing of {tenant} is stored.", highlight=False)
            elif typer.prompt("This cannot be undone. Type the tenant's id to erase it", err=True) != tenant:
                _fail("that is not the id: nothing was erased")
        report = erasure.erase_tenant(settings, tenant, by=by, reason=reason, patience_s=patience)
    except (ClickHouseError, redis.RedisError, SettingsError) as error:
        _fail(f"{error}; what was begun goes on when the command is repeated")
    except (erasure.NamesTenantError, ErasureError, UnfinishedBlockError) as error:
        _fail(str(error))
    if as_json:
        places = {p.name: {"found": p.found, "left": p.left} for p in report.places}
        typer.echo(
            json.dumps(
                {
                    "erasure_id": report.erasure_id,
                    "complete": report.complete,
                    "places": places,
                    "elsewhere": report.elsewhere,
                }
            )
        )
    else:
        _show(report.places, report.elsewhere, tenant)
    if not report.complete:
        _fail("Something is left, or arrived meanwhile: stop what sends it, then repeat the command")


def _show(places: list[Place], elsewhere: dict[str, int], tenant: str) -> None:
    if places:
        table = Table("where", "found", "removed", "left")
        for place in places:
            table.add_row(
                place.name, *(f"{n:,}" for n in (place.found, place.found - place.left, place.left))
            )
        Console().print(table)
    else:
        typer.echo(f"Nothing of {tenant} is stored.")
    for name, count in sorted(elsewhere.items()):
        typer.echo(f"The word {tenant} also stands in {count:,} rows of other tenants: {name} (they stay)")


def _fail(message: str) -> NoReturn:
    typer.secho(message, fg=typer.colors.RED, err=True)
    raise typer.Exit(1)
