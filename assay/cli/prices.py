"""``assay prices`` and ``assay reprice``: prices beside the list, and past calls at what is known now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final, NoReturn

import redis
import typer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console

from assay.cli import applied, console, contracts
from assay.cli.console import narrow, whole, words
from assay.cli.moments import moment
from assay.pricing import store
from assay.pricing.cards import TOKEN_CLASSES
from assay.pricing.catalogue import SOURCE
from assay.pricing.overrides import TIERS, Override, OverrideError, matches
from assay.pricing.reprice import ExpiredError, Repriced, reprice
from assay.settings import Settings, SettingsError, load_settings
from assay.warehouse.client import connect
from assay.warehouse.corrections import CorrectionError

_EPILOGUE: Final = "docs/pricing.md says which row decides."
app = typer.Typer(
    help="Prices beside the list: see them, add one, see what they would change.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("show", epilog=_EPILOGUE)(applied.show)
app.command("contracts")(contracts.list_contracts)
app.command("rates")(contracts.list_rates)
out = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Tenant = Annotated[str, typer.Option(help="Of this tenant alone.")]
_SHOWN: Final = 40


@app.command("list", epilog=_EPILOGUE)
def list_prices(
    model: Annotated[str, typer.Option(help="Rows that hold for this model.")] = "",
    tenant: Annotated[str, typer.Option(help="Rows that hold for this tenant.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Past and future rows too.")] = False,
    as_json: AsJson = False,
) -> None:
    """The rows that hold now, the most specific first."""
    now = datetime.now(UTC)
    refused: list[str] = []
    with _store() as (client, _):
        table = store.load(client, refused=lambda error: refused.append(str(error)))
    rows = [
        row
        for row in table.rows
        if (everything or _holds(row, now))
        and (not model or matches(row.model, model))
        and (not tenant or matches(row.tenant_id, tenant))
    ]
    if as_json:
        typer.echo(
            json.dumps({"catalogue": SOURCE, "prices": [_as_dict(row) for row in rows], "refused": refused})
        )
        return
    shown = narrow(whole("id"), whole("for"), words("price"), words("valid, source"))
    for row in rows:
        shown.add_row(
            row.id, _whose(row), f"{row.token_class or 'all tokens'}\n{_price(row)}", _validity(row)
        )
    out.print(shown if rows else f"No prices beside the list ({SOURCE}).")
    for message in refused:
        typer.secho(f"left out: {message}", fg=typer.colors.YELLOW, err=True)


@app.command(epilog=_EPILOGUE)
def add(
    source: Annotated[str, typer.Option(help="Where the price is from: contract, page, invoice.")],
    token_class: Annotated[
        str,
        typer.Option("--class", help=f"{', '.join(TOKEN_CLASSES)}, or a unit: image, audio_second, …"),
    ] = "",
    price: Annotated[str, typer.Option(help="US dollars per million tokens, or per unit.")] = "",
    factor: Annotated[str, typer.Option(help="Instead: the list price times this, for example 0.8.")] = "",
    model: Annotated[str, typer.Option(help="Exact, or a pattern: 'claude-*'.")] = "",
    provider: Annotated[str, typer.Option(help="Exact, or a pattern.")] = "",
    tenant: Annotated[str, typer.Option(help="Exact, or a pattern.")] = "",
    tier: Annotated[str, typer.Option(help=f"{', '.join(TIERS)}.  [default: any]")] = "",
    valid_from: Annotated[
        str, typer.Option("--from", help="2026-01-31 or 2026-01-31T12:00:00Z.  [default: now]")
    ] = "",
    valid_to: Annotated[str, typer.Option("--to", help="First moment at which it does not hold.")] = "",
    as_json: AsJson = False,
) -> None:
    """Note a price. The writers take it up within ten seconds; `assay reprice` applies it to the past."""
    try:
        row = Override(
            source=source,
            token_class=token_class,
            price_usd=_decimal("--price", price),
            discount_factor=_decimal("--factor", factor),
            model=model,
            provider=provider,
            tenant_id=tenant,
            pricing_tier=tier,
            valid_from=moment("--from", valid_from) if valid_from else datetime.now(UTC),
            valid_to=moment("--to", valid_to) if valid_to else None,
        )
    except OverrideError as error:
        _fail(str(error))
    with _store() as (client, _):
        store.add(client, row)
    typer.echo(
        json.dumps(_as_dict(row))
        if as_json
        else f"{row.id}: {_price(row)}, from {row.valid_from.isoformat()}"
    )


@app.command()
def diff(
    first: Annotated[
        str, typer.Option("--from", help="2026-01-31 or with a time.  [default: 30 days ago]")
    ] = "",
    last: Annotated[str, typer.Option("--to", help="First moment that is not of it.  [default: now]")] = "",
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> None:
    """What stored calls would cost by the price list and the rows that hold now; changes nothing."""
    now = datetime.now(UTC)
    begin = moment("--from", first) if first else now - timedelta(days=30)
    end = moment("--to", last) if last else now
    _report(_reprice(begin, end, tenant, dry_run=True, hidden=as_json), as_json=as_json, dry_run=True)


def reprice_command(
    first: Annotated[str, typer.Option("--from", help="2026-01-31, or 2026-01-31T12:00:00Z.")],
    last: Annotated[str, typer.Option("--to", help="First moment that is not repriced any more.")],
    tenant: Tenant = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compute the cost of past calls anew, rollups with it, while ingestion goes on."""
    begin, end = moment("--from", first), moment("--to", last)
    _report(_reprice(begin, end, tenant, dry_run=dry_run, hidden=as_json), as_json=as_json, dry_run=dry_run)


def _reprice(first: datetime, last: datetime, tenant: str, *, dry_run: bool, hidden: bool) -> Repriced:
    # The writer's parts are loaded where rows are changed: a look at prices needs none of them.
    from assay.collector.writer.lock import Exclusive, UnfinishedBlockError

    if last <= first:
        _fail("--to has to be after --from")
    with _store() as (client, settings), console.progress(hidden=hidden) as bar:
        task = bar.add_task("repricing" if not dry_run else "comparing", total=None)
        try:
            return reprice(
                client,
                store.load(client),
                first,
                last,
                tenant=tenant or None,
                dry_run=dry_run,
                guard=Exclusive(settings.redis, client),
                actor="assay reprice",
                progress=lambda calls: bar.advance(task, calls),
            )
        except (ExpiredError, OverrideError, CorrectionError, UnfinishedBlockError) as error:
            bar.stop()
            _fail(str(error))


def _report(found: Repriced, *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**asdict(found), "dry_run": dry_run}, default=str))
        return
    table = narrow(
        whole("calls of"), words("priced by"), whole("calls", right=True), whole("USD", right=True)
    )
    for row in found.differences[:_SHOWN]:
        table.add_row(
            "\n".join(filter(None, (row.provider, row.model, row.pricing_tier))),
            f"{row.stored_source or 'nothing'}\nnow {row.source or 'nothing'}",
            str(row.calls),
            f"{_usd(row.before_usd)}\n{_usd(row.after_usd)}",
        )
    if found.differences:
        out.print(table)
        if len(found.differences) > _SHOWN:
            out.print(f"… and {len(found.differences) - _SHOWN} more kinds of calls (--json has them all)")
    word = "would change" if dry_run else "changed"
    out.print(
        f"{found.changed} of {found.calls} calls {word}: "
        f"{found.before_usd:f} USD before, {found.after_usd:f} USD after"
    )


def _whose(row: Override) -> str:
    """The calls that a row holds for, a line for each thing that it names."""
    names = (
        ("tenant", row.tenant_id),
        ("model", row.model),
        ("provider", row.provider),
        ("tier", row.pricing_tier),
    )
    return "\n".join(f"{name} {text}" for name, text in names if text) or "any call"


def _validity(row: Override) -> str:
    until = f"\nto {_day(row.valid_to)}" if row.valid_to else ""
    return f"{_day(row.valid_from)}{until}\n{row.source}"


def _day(moment: datetime) -> str:
    """In UTC; without the time where a day begins."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d}" if moment.time() == time() else f"{moment:%Y-%m-%d %H:%M}"


def _usd(amount: Decimal | None) -> str:
    return "no price" if amount is None else f"{amount:f}"


def _holds(row: Override, now: datetime) -> bool:
    return row.valid_from <= now and (row.valid_to is None or row.valid_to > now)


def _price(row: Override) -> str:
    if row.discount_factor is not None:
        return f"list × {row.discount_factor.normalize():f}"
    assert row.price_usd is not None
    per = "million" if row.token_class in TOKEN_CLASSES else row.token_class
    return f"{row.price_usd.normalize():f} USD per {per}"


def _as_dict(row: Override) -> dict[str, object]:
    return {
        "id": row.id,
        "provider": row.provider,
        "model": row.model,
        "tenant_id": row.tenant_id,
        "pricing_tier": row.pricing_tier,
        "token_class": row.token_class,
        "price_usd": None if row.price_usd is None else f"{row.price_usd.normalize():f}",
        "discount_factor": None if row.discount_factor is None else f"{row.discount_factor.normalize():f}",
        "valid_from": row.valid_from.isoformat(),
        "valid_to": None if row.valid_to is None else row.valid_to.isoformat(),
        "source": row.source,
    }


def _decimal(option: str, text: str) -> Decimal | None:
    if not text:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{option} {text!r}: write a number, for example 2.50") from None


@contextmanager
def _store() -> Iterator[tuple[Client, Settings]]:
    try:
        settings = load_settings()
        with connect(settings) as client:
            yield client, settings
    except (ClickHouseError, SettingsError, redis.RedisError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.secho(message, fg=typer.colors.RED, err=True)
    raise typer.Exit(1)
