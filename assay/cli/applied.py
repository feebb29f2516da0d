"""``assay prices show``: which price applies to a call, where it is from, and what to do without one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, NoReturn

import typer
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.table import Table

from assay.cli.console import whole
from assay.cli.moments import moment
from assay.pricing import store
from assay.pricing.applied import PER_CALL, Answer, Applied, applied
from assay.pricing.cards import EXACT, TOKEN_CLASSES
from assay.pricing.catalogue import SOURCE
from assay.pricing.overrides import TIERS, Override, OverrideError
from assay.settings import SettingsError, load_settings
from assay.warehouse.client import connect

out = Console()


def show(
    model: Annotated[str, typer.Argument(help="As it stands in calls: the model that answered.")],
    provider: Annotated[str, typer.Option(help="Any of its names.  [default: told from the model]")] = "",
    tenant: Annotated[str, typer.Option(help="Whose call.  [default: of no tenant with own prices]")] = "",
    at: Annotated[str, typer.Option(help="2026-01-31 or 2026-01-31T12:00:00Z.  [default: now]")] = "",
    tier: Annotated[str, typer.Option(help=f"{', '.join(TIERS)}.")] = "standard",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Which price applies to a call, class by class, and where it is from."""
    if tier not in TIERS:
        raise typer.BadParameter(f"--tier {tier!r}: one of {', '.join(TIERS)}")
    now = datetime.now(UTC)
    when = moment("--at", at) if at else now
    refused: list[str] = []
    try:
        with connect(load_settings()) as client:
            table = store.load(client, refused=lambda error: refused.append(str(error)))
    except (ClickHouseError, SettingsError, OverrideError) as error:
        _fail(str(error))
    answer = applied(table, model, provider=provider, tenant=tenant, tier=tier, at=when)
    steps = _steps(answer, model, when, now)
    asked = {"model": model, "provider": answer.provider, "tenant_id": tenant, "pricing_tier": tier}
    if as_json:
        typer.echo(json.dumps(_as_dict(asked, answer, when, steps, refused)))
        return
    whose = f" of {answer.provider}" if answer.provider else ""
    told = "" if provider or not answer.provider else " (told from the model)"
    typer.echo(f"{model}{whose}{told}, tier {tier}, {f'tenant {tenant}' if tenant else 'any tenant'}")
    typer.echo(f"at {when:%Y-%m-%d %H:%M:%S} UTC, in US dollars")
    if answer.reason:
        typer.echo(f"No price: {answer.reason} ({SOURCE}). Calls are unpriced, not free.")
    else:
        out.print(_table(answer.prices))
        for line in _legend(answer):
            typer.echo(line)
    for step in steps:
        typer.echo(step["do"])
        for command in step.get("commands", ()):
            typer.echo(f"    {command}")
    for message in refused:
        typer.secho(f"left out: {message}", fg=typer.colors.YELLOW, err=True)


def _table(prices: Sequence[Applied]) -> Table:
    shown = Table("of", whole("USD", right=True), "per", "applies", "by")
    for price in prices:
        if price.rate is None:
            shown.add_row(price.name, "no price", "", "", "")
            continue
        by = price.override.id if price.override else "list"
        as_other = f"as {price.charged_as}" if price.charged_as else ""
        shown.add_row(price.name, _plain(price.rate.base), _per(price), as_other, by)
        for above, usd in price.rate.steps:
            shown.add_row("", _plain(usd), _per(price), f"prompt > {above:,}", by)
    return shown


def _legend(answer: Answer) -> list[str]:
    """Where the prices are from, each source once, and what a call may use that has none."""
    lines = []
    found = [price for price in answer.prices if price.rate is not None]
    if listed := sorted({price.listed for price in found if price.listed}):
        days = sorted({price.listed_since for price in found if price.listed_since})
        since = f", prices since {', '.join(map(str, days))}" if days else ""
        lines.append(f"list: {', '.join(listed)}, {'/'.join(answer.listed_as)}{since}")
    rows = {price.override.id: price.override for price in found if price.override}
    lines += [f"override {row.id}: {_said(row)}" for row in rows.values()]
    lines += [f"partial: {note}" for note in dict.fromkeys(price.note for price in found if price.note)]
    missing: dict[str, list[str]] = {}
    for price in answer.prices:
        if price.rate is None:
            missing.setdefault(price.reason, []).append(price.name)
    return lines + [f"no price of {', '.join(names)}: {reason}" for reason, names in missing.items()]


def _said(row: Override) -> str:
    factor = "" if row.discount_factor is None else f"list × {_plain(row.discount_factor)}, "
    until = f" to {row.valid_to:%Y-%m-%d %H:%M}" if row.valid_to else ""
    return f"{factor}{row.source}, from {row.valid_from:%Y-%m-%d %H:%M}{until} UTC"


def _steps(answer: Answer, model: str, at: datetime, now: datetime) -> list[dict[str, Any]]:
    """What to do about a call without any price, in the words of the alert about such calls."""
    if not answer.reason:
        return []
    from sensors.unpriced.remedy import remedy

    return remedy(answer.provider, model, [answer.reason], at, max(at, now))


def _per(price: Applied) -> str:
    if price.name in TOKEN_CLASSES:
        return "1M tokens"
    return PER_CALL if price.name == PER_CALL else "one"


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize(EXACT):f}"


def _as_dict(
    asked: dict[str, str], answer: Answer, at: datetime, steps: list[dict[str, Any]], refused: list[str]
) -> dict[str, object]:
    return {
        **asked,
        "at": at.isoformat(),
        "currency": "USD",
        "catalogue": SOURCE,
        "listed_as": "/".join(filter(None, answer.listed_as)),
        "prices": [_price(price) for price in answer.prices],
        "reason": answer.reason,
        "next": steps,
        "refused": refused,
    }


def _price(price: Applied) -> dict[str, object]:
    rate, row = price.rate, price.override
    return {
        "of": price.name,
        "per": _per(price),
        "price_usd": None if rate is None else _plain(rate.base),
        "steps": [
            {"above_prompt_tokens": above, "price_usd": _plain(usd)}
            for above, usd in (() if rate is None else rate.steps)
        ],
        "charged_as": price.charged_as,
        "listed": price.listed,
        "listed_since": None if price.listed_since is None else price.listed_since.isoformat(),
        "override": None
        if row is None
        else {
            "id": row.id,
            "source": row.source,
            "discount_factor": None if row.discount_factor is None else _plain(row.discount_factor),
            "valid_from": row.valid_from.isoformat(),
            "valid_to": None if row.valid_to is None else row.valid_to.isoformat(),
        },
        "note": price.note,
        "reason": price.reason,
    }


def _fail(message: str) -> NoReturn:
    typer.secho(message, fg=typer.colors.RED, err=True)
    raise typer.Exit(1)
