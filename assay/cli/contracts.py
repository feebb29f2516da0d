"""``assay prices contracts`` and ``rates``: what is agreed beside prices, and what it comes to this month."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, NoReturn

import typer
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Column, Table

from assay.cli.console import narrow, whole, words
from assay.settings import SettingsError, load_settings
from assay.warehouse.client import connect

out = Console()
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
# Of each contract the state of the month; one that is not of the month has none.
_CONTRACTS: Final = """
SELECT
    c.contract_id AS contract_id, c.kind AS kind, c.provider AS provider, c.model AS model,
    c.tenant_id AS tenant_id, c.pricing_tier AS pricing_tier, c.amount_usd AS amount_usd, c.per AS per,
    c.units AS units, c.valid_from AS valid_from, c.valid_to AS valid_to, c.noted_source AS noted_source,
    m.due_usd AS due_usd, m.used_usd AS used_usd, m.left_usd AS left_usd
FROM stg_provider_contracts AS c
LEFT JOIN (
    SELECT contract_id, toNullable(opening_usd) AS due_usd, toNullable(used_usd) AS used_usd,
        toNullable(left_usd) AS left_usd
    FROM credits_monthly WHERE month = {month:Date}
    UNION ALL
    SELECT contract_id, toNullable(amount_usd), toNullable(used_usd), toNullable(unused_usd)
    FROM provisioned_monthly WHERE month = {month:Date}
) AS m ON c.contract_id = m.contract_id
WHERE c.valid_from < {month:Date} + INTERVAL 1 MONTH AND c.valid_before > {month:Date}
    AND c.valid_before > c.valid_from
ORDER BY kind, valid_before, contract_id
"""
_RATES: Final = """
SELECT currency, month, exchange_rate AS rate, exchange_rate_day AS day
FROM int_exchange_rates_monthly
WHERE {currency:String} IN ('', currency)
ORDER BY currency, month DESC
"""


def list_contracts(
    month: Annotated[str, typer.Option(help="Which month, for example 2026-11.  [default: this one]")] = "",
    as_json: AsJson = False,
) -> None:
    """Credits and provisioned capacity of a month (UTC), and what was used of them."""
    first = _month(month) if month else datetime.now(UTC).strftime("%Y-%m-01")
    rows = _read(_CONTRACTS, month=first)
    if as_json:
        typer.echo(json.dumps({"month": first[:7], "contracts": rows}, default=_plain))
        return
    shown = narrow(words("contract"), words("for"), words("agreed, valid"), whole("month USD", right=True))
    for row in rows:
        shown.add_row(
            f"{row['contract_id']}\n{row['kind']}\n{row['noted_source']}",
            f"{row['provider']}\n{row['model'] or 'any model'}\n{row['tenant_id'] or 'all tenants'}",
            f"{_agreed(row)}\n{row['valid_from']}" + (f"\nto {row['valid_to']}" if row["valid_to"] else ""),
            _month_usd(row),
        )
    out.print(shown if rows else f"No contracts in {first[:7]}: load them with `assay load contracts FILE`.")


def list_rates(
    currency: Annotated[str, typer.Option(help="Of this currency alone, for example EUR.")] = "",
    as_json: AsJson = False,
) -> None:
    """The rate at which each month is reported in a currency: the last one published in it."""
    rows = _read(_RATES, currency=currency.upper())
    if as_json:
        typer.echo(json.dumps({"rates": rows}, default=_plain))
        return
    shown = Table("currency", "month", Column("for one USD", justify="right"), "of")
    for row in rows:
        shown.add_row(
            row["currency"], row["month"].strftime("%Y-%m"), _plain(row["rate"]), row["day"].isoformat()
        )
    out.print(shown if rows else "No rates: load them with `assay load exchange-rates FILE`.")


def _agreed(row: dict[str, Any]) -> str:
    amount = f"{_plain(row['amount_usd'])} USD"
    return f"{_plain(row['units'])} × {amount} a {row['per']}" if row["per"] else amount


def _month_usd(row: dict[str, Any]) -> str:
    """What the month has of it, what was used, what is left; nothing where the month has none."""
    names = {"due": "due_usd", "used": "used_usd", "left": "left_usd"}
    return "\n".join(f"{name} {_plain(row[key])}" for name, key in names.items() if row[key] is not None)


def _month(text: str) -> str:
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).strftime("%Y-%m-01")
    except ValueError:
        raise typer.BadParameter(f"--month {text}: must be a year and a month, for example 2026-11") from None


def _plain(value: object) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _read(sql: str, **parameters: str) -> list[dict[str, Any]]:
    try:
        with connect(load_settings()) as client:
            return list(client.query(sql, parameters=parameters).named_results())
    except (SettingsError, ClickHouseError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.secho(message, fg=typer.colors.RED, err=True)
    raise typer.Exit(1)
