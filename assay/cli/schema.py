"""The store's tables, rollups and marts, brought up to date at every start."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from clickhouse_connect.driver.exceptions import ClickHouseError

from assay.settings import Settings, load_settings
from assay.warehouse import dbt, retention
from assay.warehouse.client import connect
from assay.warehouse.migrations import MigrationError, migrate, migrations


def bring_up_to_date(settings: Settings) -> str:
    """Apply what is missing of the numbered schema and of the dbt project; say what was done.

    dbt takes seconds to find that nothing changed, so it is not asked where its project and the schema are
    those of the last build of this store and everything that it makes is there.

    Raises:
        MigrationError: the schema does not fit.
        RetentionError: the retention file cannot be used, or the store lacks what it names.
        DbtError: dbt did not finish.
    """
    keep = retention.load(settings.retention_file)
    applied = len(migrate(settings))
    schema = f"{applied} migrations applied" if applied else "schema is current"
    with connect(settings) as client:
        if changed := retention.apply(client, keep):
            schema += f", retention of {len(changed)} tables applied"
    fingerprint = _fingerprint(settings)
    record = settings.data_dir / "dbt" / "built.json"
    if _recorded(record) == fingerprint and _manifest(settings).exists() and not _missing(settings):
        return f"{schema}, rollups are current"
    dbt.build(settings)
    record.write_text(json.dumps({"fingerprint": fingerprint}), encoding="utf-8")
    return f"{schema}, rollups built"


def _fingerprint(settings: Settings) -> str:
    """Of the dbt project, the schema and the store."""
    digest = hashlib.sha256(f"{settings.clickhouse}|{settings.clickhouse_database}".encode())
    for migration in migrations():
        digest.update(migration.checksum.encode())
    for file in sorted(path for path in dbt.PROJECT.rglob("*") if path.suffix in (".sql", ".yml", ".csv")):
        digest.update(str(file.relative_to(dbt.PROJECT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _recorded(record: Path) -> str:
    if not record.exists():
        return ""
    found = json.loads(record.read_text(encoding="utf-8"))
    return str(found.get("fingerprint", ""))


def _manifest(settings: Settings) -> Path:
    return settings.data_dir / "dbt" / "target" / "manifest.json"


def _missing(settings: Settings) -> set[str]:
    """Models of the last build that are not in the store (it may have been emptied since)."""
    manifest = json.loads(_manifest(settings).read_text(encoding="utf-8"))
    wanted = {
        node["alias"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["config"]["materialized"] != "ephemeral"
    }
    with connect(settings) as client:
        rows = client.query(
            "SELECT name FROM system.tables WHERE database = {database:String}",
            parameters={"database": settings.clickhouse_database},
        ).result_rows
    return wanted - {str(name) for (name,) in rows}


def main() -> None:
    """``python -m assay.cli.schema``: a process of its own, so that its memory is given back."""
    try:
        sys.stdout.write(bring_up_to_date(load_settings()) + "\n")
    except (MigrationError, retention.RetentionError, dbt.DbtError, ClickHouseError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
