"""What an insert into a table writes besides: the materialized views behind it, as the store has them.

No list of rollups is kept here: a model that somebody adds is corrected from its first day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, Final, NamedTuple

from clickhouse_connect.driver.client import Client

from assay.warehouse.corrections.rows import CorrectionError

# As the store writes its own statements: `MATERIALIZED VIEW db.view TO db.table (columns) AS SELECT …`.
_TARGET: Final = re.compile(r"^CREATE MATERIALIZED VIEW \S+ TO (\S+)")
_VIEWS: Final = """
WITH reads AS (
    SELECT database, name, arrayJoin(arrayZip(dependencies_database, dependencies_table)) AS id
    FROM system.tables
    WHERE database != 'system'
)
SELECT reads.database, reads.name, view.name, view.create_table_query, view.as_select, columns.names
FROM system.tables AS view
INNER JOIN reads ON reads.id.1 = view.database AND reads.id.2 = view.name
INNER JOIN (
    SELECT database, table, arrayMap(c -> c.2, arraySort(groupArray((position, name)))) AS names
    FROM system.columns
    WHERE (database, table) IN (SELECT id FROM reads)
    GROUP BY database, table
) AS columns ON columns.database = view.database AND columns.table = view.name
WHERE view.engine = 'MaterializedView'
ORDER BY view.database, view.name
"""


class Table(NamedTuple):
    """A table of the store."""

    database: str
    name: str

    @property
    def sql(self) -> str:
        """As it stands in a statement."""
        return f"`{self.database}`.`{self.name}`"


@dataclass(frozen=True)
class View:
    """A materialized view: from rows of ``source`` it makes rows of ``target``, in these columns."""

    name: str
    source: Table
    target: Table
    columns: tuple[str, ...]
    select: str

    def over(self, source: Table) -> str:
        """Its SELECT over another table of the same structure.

        Raises:
            CorrectionError: the statement does not read its source where it is expected.
        """
        database, name = map(re.escape, self.source)
        reads = re.compile(rf"\b(FROM|JOIN) `?{database}`?\.`?{name}`?(?![\w`.])(?P<alias> AS \S+)?")
        # Columns may be written with the table's name before them: it stays their name.
        found, count = reads.subn(
            lambda match: f"{match[1]} {source.sql}{match['alias'] or f' AS `{self.source.name}`'}",
            self.select,
        )
        if not count:
            raise CorrectionError(
                f"the view {self.name} does not read {self.source.sql} in a FROM of its own"
            )
        return found


def behind(client: Client, table: Table) -> list[View]:
    """The views that an insert into ``table`` runs, in an order in which each finds its source complete.

    Raises:
        CorrectionError: a view that keeps its rows in a table without a name.
    """
    readers: dict[Table, list[tuple[Any, ...]]] = {}
    for database, name, *view_row in client.query(_VIEWS).result_rows:
        readers.setdefault(Table(database, name), []).append(tuple(view_row))
    into: dict[Table, list[View]] = {table: []}
    waiting = [table]
    while waiting:
        source = waiting.pop()
        for name, statement, select, columns in readers.get(source, []):
            view = View(name, source, _target(name, statement), tuple(columns), select)
            if view.target not in into:
                into[view.target] = []
                waiting.append(view.target)
            into[view.target].append(view)
    order = TopologicalSorter({target: {view.source for view in views} for target, views in into.items()})
    return [view for target in order.static_order() for view in into[target]]


def _target(view: str, statement: str) -> Table:
    if not (found := _TARGET.match(statement)):
        raise CorrectionError(f"the view {view} keeps its rows to itself: create it with TO and a table")
    database, _, name = found[1].replace("`", "").partition(".")
    return Table(database, name)
