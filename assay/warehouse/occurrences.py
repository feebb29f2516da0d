"""Where a tenant's id stands in the store: every text column of every table, as it is on the disks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from clickhouse_connect.driver.client import Client

# own: a row of the tenant. shared: a row of nobody, or of several, that names it. others: a row of another
# tenant in which the same word occurs.
Kind = Literal["own", "shared", "others"]
# What rows of no tenant in particular have for a tenant.
NOBODY: Final = ("", "*")


@dataclass(frozen=True)
class Table:
    """A table that holds rows of its own (a view holds none)."""

    name: str
    engine: str
    columns: dict[str, str]

    @property
    def text(self) -> list[str]:
        """Columns in which text can be."""
        return [
            name
            for name, kind in self.columns.items()
            if re.search(r"\b(Fixed)?String\b", kind) and not kind.startswith("AggregateFunction")
        ]

    @property
    def has_tenant(self) -> bool:
        return "tenant_id" in self.columns


@dataclass(frozen=True)
class Occurrence:
    """So many rows of a table in which the id stands in one column."""

    table: str
    column: str
    kind: Kind
    rows: int


def tables(client: Client) -> list[Table]:
    """The tables of the database that hold rows."""
    rows = client.query(
        "SELECT t.name, t.engine, groupArray((c.name, c.type)) FROM system.tables AS t "
        "INNER JOIN system.columns AS c ON c.database = t.database AND c.table = t.name "
        "WHERE t.database = currentDatabase() AND t.engine NOT IN ('View', 'MaterializedView') "
        "GROUP BY t.name, t.engine ORDER BY t.name"
    ).result_rows
    return [Table(name, engine, dict(columns)) for name, engine, columns in rows]


def views(client: Client) -> list[str]:
    """Views that show a tenant's rows."""
    rows = client.query(
        "SELECT DISTINCT t.name FROM system.tables AS t "
        "INNER JOIN system.columns AS c ON c.database = t.database AND c.table = t.name "
        "WHERE t.database = currentDatabase() AND t.engine = 'View' AND c.name = 'tenant_id' ORDER BY t.name"
    ).result_rows
    return [str(name) for (name,) in rows]


def scan(client: Client, tenant: str, *, through_views: bool = False) -> list[Occurrence]:
    """Read every text column of every table, cancelled rows included.

    Args:
        client: of the store.
        tenant: to look for.
        through_views: count the tenant's rows of every view, too.
    """
    found = [occurrence for table in tables(client) for occurrence in _scan_table(client, table, tenant)]
    for view in views(client) if through_views else ():
        count = client.query(
            f"SELECT count() FROM `{view}` WHERE tenant_id = {{tenant:String}}", parameters={"tenant": tenant}
        ).result_rows[0][0]
        found.append(Occurrence(view, "tenant_id", "own", count))
    return [occurrence for occurrence in found if occurrence.rows]


def _scan_table(client: Client, table: Table, tenant: str) -> list[Occurrence]:
    if not table.text:
        return []
    own = "tenant_id = {tenant:String}" if table.has_tenant else "0"
    nobody = f"tenant_id IN {NOBODY}" if table.has_tenant else "1"
    columns = [name for name in table.text if name != "tenant_id"]
    counts = [
        f"countIf(NOT ({own}) AND {condition} AND {named(name, table.columns[name], tenant)})"
        for name in columns
        for condition in (nobody, f"NOT ({nobody})")
    ]
    row: Sequence[int] = client.query(
        f"SELECT {', '.join([f'countIf({own})', *counts])} FROM `{table.name}`",
        parameters={"tenant": tenant, **parameters(tenant)},
    ).result_rows[0]
    kinds: tuple[Kind, Kind] = ("shared", "others")
    occurrences = [Occurrence(table.name, "tenant_id", "own", row[0])]
    for i, name in enumerate(columns):
        for k, kind in enumerate(kinds):
            occurrences.append(Occurrence(table.name, name, kind, row[1 + 2 * i + k]))
    return occurrences


def named(column: str, kind: str, tenant: str) -> str:
    """SQL: whether a column names the tenant, as a word of its own, or anywhere in what is not text.

    Its parameters are :func:`parameters`.
    """
    plain = re.fullmatch(r"(LowCardinality\(|Nullable\()*String\)*", kind)
    text = f"`{column}`" if plain else f"toString(`{column}`)"
    conditions = [
        f"(position({text}, {{needle{i}:String}}) > 0 "
        f"AND (NOT isValidUTF8(assumeNotNull({text})) OR match({text}, {{word{i}:String}})))"
        for i in range(len(_spellings(tenant)))
    ]
    return f"ifNull({' OR '.join(conditions)}, 0)"


def parameters(tenant: str) -> dict[str, str]:
    """What the conditions of :func:`named` refer to."""
    found = {}
    for i, spelling in enumerate(_spellings(tenant)):
        found[f"needle{i}"] = spelling
        found[f"word{i}"] = word(spelling)
    return found


def word(tenant: str) -> str:
    """A pattern of the id as a word of its own: ``acme`` is neither in ``acme-test`` nor in ``acme.eu``; it
    is in ``acme.``, ``"acme"`` and ``/acme/``."""
    return rf"(?:^|[^A-Za-z0-9_-]){re.escape(tenant)}(?:$|[^A-Za-z0-9_.@-]|[.@](?:$|[^A-Za-z0-9]))"


def _spellings(tenant: str) -> list[str]:
    """The id as it is, and as JSON writes it."""
    escaped = [json.dumps(tenant, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True)]
    return list(dict.fromkeys([tenant, *escaped]))
