"""``assay keys``: who may send to the collector, and read from it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, NoReturn

import typer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Column, Table

from assay.settings import SettingsError, load_settings
from assay.warehouse import api_keys
from assay.warehouse.api_keys import EVERY_TENANT, SCOPES, ApiKey, UnknownKeyError
from assay.warehouse.client import connect

app = typer.Typer(help="Make, list, rotate and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Whose it is, for example litellm-production.")],
    tenant: Annotated[
        list[str], typer.Option(help=f"Whose data it may touch; repeatable; {EVERY_TENANT} for all.")
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"What it may do: {', '.join(SCOPES)}; repeatable.  [default: write]"),
    ] = None,
    expires: Annotated[str, typer.Option(help="After how long it ends: 90d, 12h, 30m; never.")] = "never",
    rate: Annotated[float | None, typer.Option(help="Records a second; unset: no limit.")] = None,
    burst: Annotated[
        int | None, typer.Option(help="Records at once after a pause; unset: 10 seconds' worth.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is printed once, on standard output, and kept nowhere."""
    lifetime = None if expires == "never" else _duration("--expires", expires)
    with _store() as client:
        text, key = api_keys.create(
            client,
            name=name,
            tenants=tenant,
            scopes=scope or ["write"],
            expires_at=None if lifetime is None else datetime.now(UTC) + lifetime,
            records_per_second=rate,
            burst=burst,
        )
    _hand_out(text, key, as_json)


@app.command("list")
def list_keys(
    everything: Annotated[bool, typer.Option("--all", help="Revoked and expired ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """The keys that are in force."""
    with _store() as client:
        found, used = api_keys.read_all(client), api_keys.last_used(client)
    now = datetime.now(UTC)
    shown = [key for key in found if everything or not key.refusal(now)]
    if as_json:
        typer.echo(json.dumps({"keys": [_as_dict(key, used.get(key.key_id)) for key in shown]}))
        return
    # The id is what `rotate` and `revoke` need: never shortened, however narrow the terminal.
    table = Table(Column("key", no_wrap=True), "name", "tenants", "scopes", "rate", "ends (UTC)", "last used")
    for key in shown:
        table.add_row(
            key.key_id,
            key.name,
            ", ".join(_tenants(key)),
            ", ".join(sorted(key.scopes)),
            "no limit" if key.records_per_second is None else f"{key.records_per_second:g}/s",
            key.refusal(now) or _moment(key.expires_at) or "never",
            _moment(used.get(key.key_id)) or "never",
        )
    Console().print(table if shown else "No keys; make one: assay keys create --name NAME --tenant TENANT")


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="As in `assay keys list`.")],
    overlap: Annotated[str, typer.Option(help="How long the old key still works: 24h, 30m, 0s.")] = "24h",
    as_json: AsJson = False,
) -> None:
    """Make a key with the same rights; the old one ends after the overlap."""
    with _store() as client:
        text, key = api_keys.rotate(client, key_id, overlap=_duration("--overlap", overlap))
    _hand_out(text, key, as_json)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="As in `assay keys list`.")]) -> None:
    """End a key; collectors refuse it within two seconds."""
    with _store() as client:
        key = api_keys.revoke(client, key_id)
    typer.echo(f"{key.key_id} ({key.name}) is revoked")


@contextmanager
def _store() -> Iterator[Client]:
    try:
        with connect(load_settings()) as client:
            yield client
    except (ClickHouseError, SettingsError, UnknownKeyError, ValueError) as error:
        _fail(str(error.args[0] if error.args else error))


def _hand_out(text: str, key: ApiKey, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"key": text, **_as_dict(key, None)}))
        return
    typer.echo(text)
    typer.echo(
        f"{key.key_id} ({key.name}): {', '.join(sorted(key.scopes))} for {', '.join(_tenants(key))}, "
        f"ends {_moment(key.expires_at) or 'never'}. Keep it now: it is not shown again.",
        err=True,
    )


def _as_dict(key: ApiKey, used_at: datetime | None) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "tenants": _tenants(key),
        "scopes": sorted(key.scopes),
        "records_per_second": key.records_per_second,
        "burst": key.burst,
        "created_at": _iso(key.created_at),
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
        "replaces": key.replaces or None,
        "last_used_at": _iso(used_at),
    }


def _tenants(key: ApiKey) -> list[str]:
    return [EVERY_TENANT] if key.tenants is None else sorted(key.tenants)


def _duration(option: str, text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{option} {text!r}: write a number and a unit, for example 90d, 12h or 30m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _fail(message: str) -> NoReturn:
    typer.secho(message, fg=typer.colors.RED, err=True)
    raise typer.Exit(1)
