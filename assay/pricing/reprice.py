"""Past calls at today's knowledge of prices: what would be different, and making it so.

Costs are computed anew from the stored tokens and units, at the prices that held when each call was made, and
rows whose cost differs go through :mod:`assay.warehouse.corrections`, so that raw table and rollups agree
throughout, also while calls arrive.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
from clickhouse_connect.driver.client import Client

from assay.pricing.calls import price
from assay.pricing.columns import Bools, Ints, PricedColumns
from assay.pricing.slices import Slice, slices
from assay.pricing.stored import StoredCalls
from assay.pricing.table import PriceTable
from assay.warehouse import corrections
from assay.warehouse.corrections import Guard

_RUN: Final = re.compile(r"[^A-Za-z0-9]")
# Of a run's name: the ids of its corrections have a number behind it.
_RUN_LENGTH: Final = 32
_LOOKS: Final = 3
_LOOK_S: Final = 0.3


class ExpiredError(ValueError):
    """Raw rows of the period are gone: their cost can be computed no more. The message has the date."""


@dataclass(frozen=True)
class Difference:
    """Calls of one kind whose cost differs, and what they cost together; None: of none of them it is known.

    ``before`` and ``after`` leave out calls that are not billed.
    """

    provider: str
    model: str
    pricing_tier: str
    stored_source: str
    source: str
    calls: int
    unpriced_before: int
    unpriced_after: int
    before_usd: Decimal | None
    after_usd: Decimal | None


@dataclass
class Repriced:
    """What repricing found, and did."""

    calls: int = 0
    changed: int = 0
    before_usd: Decimal = Decimal(0)
    after_usd: Decimal = Decimal(0)
    differences: list[Difference] = field(default_factory=list)


def reprice(
    client: Client,
    table: PriceTable,
    first: datetime,
    last: datetime,
    *,
    tenant: str | None = None,
    dry_run: bool = False,
    guard: Guard = nullcontext,
    actor: str = "reprice",
    run: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Repriced:
    """Reprice the calls of a period.

    Args:
        client: of the store.
        table: the prices that shall hold.
        first, last: of the period; ``last`` is the first moment that is not of it.
        tenant: of this tenant alone.
        dry_run: say what would be different, and change nothing.
        guard: held while rows change, so that the writers do not change the same ones.
        actor: for the record of corrections.
        run: names the corrections; repeated after a crash it may be the same or another.
        progress: told how many calls have been looked at.

    Raises:
        ExpiredError: raw rows of the period are gone.
        OverrideError: a row of the price table cannot be.
    """
    if not dry_run:
        corrections.resume(client, guard=guard)
    require_raw_rows(client, first, last, tenant)
    name = _RUN.sub("", run or secrets.token_hex(8))[:_RUN_LENGTH]
    total = Repriced()
    found: dict[tuple[Any, ...], list[Any]] = {}
    for number, part in enumerate(slices(client, first, last, tenant)):
        stored, priced, differs = _compare(client, table, part)
        _count(total, found, stored, priced, differs)
        if differs.any() and not dry_run:
            _correct(client, part, stored, priced, differs, f"reprice_{name}_{number}", actor, guard)
        progress(len(stored))
    total.differences = sorted(
        (Difference(*kind, *figures) for kind, figures in found.items()),
        key=lambda difference: (-difference.calls, difference.provider, difference.model),
    )
    return total


def require_raw_rows(client: Client, first: datetime, last: datetime, tenant: str | None = None) -> None:
    """See that the calls which the rollups count are there to be repriced.

    Raises:
        ExpiredError: of a day there are fewer; the message names the last such day.
    """
    short = _missing(client, first, last, tenant)
    for _ in range(_LOOKS):
        # A block that is just being stored is in one table before the other.
        if not short:
            return
        time.sleep(_LOOK_S)
        again = _missing(client, first, last, tenant)
        short = {day: again[day] for day in short.keys() & again.keys()}
    if short:
        day = max(short)
        raise ExpiredError(
            f"raw rows of {day} have expired ({short[day]} calls are gone): cost up to that day stays "
            f"as it was recorded; reprice from {day + timedelta(days=1)}"
        )


def _missing(client: Client, first: datetime, last: datetime, tenant: str | None) -> dict[date, int]:
    """By day, calls that the rollups count and the raw table does not have."""
    rolled = _per_day(client, "llm_kpi_1d", "toDate(period_start)", "sum(request_count)", first, last, tenant)
    raw = _per_day(client, "llm_traces", "toDate(timestamp)", "sumIf(sign, billed)", first, last, tenant)
    return {day: count - raw.get(day, 0) for day, count in rolled.items() if raw.get(day, 0) < count}


def _per_day(
    client: Client,
    relation: str,
    day: str,
    count: str,
    first: datetime,
    last: datetime,
    tenant: str | None,
) -> dict[date, int]:
    """Calls by day, of whole days; none where the relation does not exist."""
    if not client.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = {name:String}",
        parameters={"name": relation},
    ).result_rows[0][0]:
        return {}
    rows = client.query(
        f"SELECT {day} AS day, {count} AS calls FROM {relation} "
        "WHERE day BETWEEN {first:Date} AND {last:Date} "
        "AND ({tenant:String} = '' OR tenant_id = {tenant:String}) GROUP BY day HAVING calls > 0",
        parameters={
            "first": first.date(),
            "last": (last - timedelta(microseconds=1)).date(),
            "tenant": tenant or "",
        },
    ).result_rows
    return {found: int(calls) for found, calls in rows}


def _compare(client: Client, table: PriceTable, part: Slice) -> tuple[StoredCalls, PricedColumns, Bools]:
    stored = StoredCalls.read(client, part.where, part.parameters)
    priced = price(stored.calls, table)
    return stored, priced, stored.differs(priced)


def _correct(
    client: Client,
    part: Slice,
    stored: StoredCalls,
    priced: PricedColumns,
    differs: Bools,
    correction_id: str,
    actor: str,
    guard: Guard,
) -> None:
    corrections.replace(
        client,
        "llm_traces",
        correction_id=correction_id,
        values=stored.values(priced, differs),
        where=part.where,
        parameters=part.parameters,
        reason="repriced",
        actor=actor,
        guard=guard,
    )


def _count(
    total: Repriced,
    found: dict[tuple[Any, ...], list[Any]],
    stored: StoredCalls,
    priced: PricedColumns,
    differs: Bools,
) -> None:
    """Add the slice to the sums by kind: provider, model, tier, and what decided before and now."""
    total.calls += len(stored)
    total.changed += int(differs.sum())
    rows = np.flatnonzero(differs)
    if not len(rows):
        return
    columns = [
        priced.provider,
        stored.labels("model"),
        stored.labels("pricing_tier"),
        stored.labels("price_source"),
        priced.source,
    ]
    cost, known = stored.cost
    billed = stored.billed
    combined = np.zeros(len(rows), np.int64)
    for column in columns:
        combined = np.unique(combined * len(column.values) + column.codes[rows], return_inverse=True)[1]
    for number in range(int(combined.max()) + 1):
        same = rows[combined == number]
        kind = tuple(column[int(same[0])] for column in columns)
        counted = same[billed[same]]
        before = counted[known[counted]]
        after = counted[priced.known[counted]]
        figures = found.setdefault(kind, [0, 0, 0, None, None])
        figures[0] += len(same)
        figures[1] += len(counted) - len(before)
        figures[2] += len(counted) - len(after)
        for place, pico in ((3, cost[before]), (4, priced.cost_pico[after])):
            if len(pico):
                figures[place] = (figures[place] or Decimal(0)) + _usd(pico)
    counted = rows[billed[rows]]
    total.before_usd += _usd(cost[counted[known[counted]]])
    total.after_usd += _usd(priced.cost_pico[counted[priced.known[counted]]])


def _usd(pico: Ints) -> Decimal:
    """The sum, exact: added in two halves, so that many large costs cannot overflow."""
    high, low = pico // 10**9, pico % 10**9
    return Decimal(int(high.sum()) * 10**9 + int(low.sum())).scaleb(-12)
