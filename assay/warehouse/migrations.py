"""The numbered schema: which files there are, which were applied, and applying the rest.

Every statement is idempotent (``IF NOT EXISTS``), and a file is recorded after its last statement: a crash
halfway is repaired by running again. (The migration packages on PyPI speak ClickHouse's native TCP protocol,
which the embedded server does not have.)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse.client import connect

_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")
_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32,
    name String,
    checksum String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY number
"""


class MigrationError(RuntimeError):
    """The schema files do not fit what the store says was applied."""


@dataclass(frozen=True)
class Migration:
    """One numbered file. ``checksum`` covers its statements, not its comments."""

    number: int
    name: str
    statements: tuple[str, ...]
    checksum: str


def migrations() -> list[Migration]:
    """The shipped migrations in order.

    Raises:
        MigrationError: a file is not named ``NNNN_name.sql``, or a number is missing or stands twice.
    """
    found = []
    for file in resources.files("assay.warehouse.schema").iterdir():
        if not file.name.endswith(".sql"):
            continue
        if not (match := _NAME.match(file.name)):
            raise MigrationError(f"{file.name}: a migration is named NNNN_name.sql")
        statements = tuple(_statements(file.read_text(encoding="utf-8")))
        checksum = hashlib.sha256("\n;\n".join(statements).encode()).hexdigest()
        found.append(Migration(int(match[1]), match[2], statements, checksum))
    found.sort(key=lambda m: m.number)
    if [m.number for m in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"migrations must be numbered 1, 2, 3, …; found {[m.number for m in found]}")
    return found


def migrate(settings: Settings) -> list[Migration]:
    """Bring the store's schema up to date; return what was applied now.

    Raises:
        MigrationError: an applied file was changed afterwards, or the store is newer than this version.
    """
    with connect(settings, database="") as client:
        client.command(f"CREATE DATABASE IF NOT EXISTS `{settings.clickhouse_database}`")
    with connect(settings) as client:
        client.command(_RECORD)
        return apply(client, migrations())


def apply(client: Client, wanted: list[Migration]) -> list[Migration]:
    """Apply those of ``wanted`` that the store does not record; return them."""
    rows = client.query(
        "SELECT number, name, checksum FROM schema_migrations FINAL ORDER BY number"
    ).result_rows
    known = {m.number: m for m in wanted}
    for number, name, checksum in rows:
        if number not in known:
            raise MigrationError(
                f"the store has migration {number:04}_{name}, which this version does not know: "
                "it was written by a newer version of Assay; upgrade this one"
            )
        if known[number].checksum != checksum:
            raise MigrationError(
                f"migration {number:04}_{name} was changed after it was applied; "
                "restore it and put the change into a new file"
            )
    applied = {number for number, _, _ in rows}
    todo = [m for m in wanted if m.number not in applied]
    for migration in todo:
        for statement in migration.statements:
            client.command(statement)
        client.insert(
            "schema_migrations",
            [(migration.number, migration.name, migration.checksum)],
            column_names=["number", "name", "checksum"],
        )
    return todo


def _statements(text: str) -> Iterator[str]:
    without_comments = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    for statement in re.split(r";\s*(?:\n|$)", without_comments):
        if statement.strip():
            yield statement.strip()
