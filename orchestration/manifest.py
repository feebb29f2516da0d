"""What dbt knows of its project, as a file that Dagster's definitions are made from.

Parsing costs two seconds and needs no store. A manifest newer than the whole project is used as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.settings import Settings
from assay.warehouse.dbt import PROJECT, run_dbt


def target_dir(settings: Settings) -> Path:
    """Where dbt writes for this data directory."""
    return settings.data_dir / "dbt" / "target"


def load_manifest(settings: Settings, *, project: Path = PROJECT) -> Mapping[str, Any]:
    """The manifest of the project as it is now, parsed again where the stored one is stale.

    Raises:
        DbtError: the project does not parse; the message is what dbt says about it.
    """
    path = target_dir(settings) / "manifest.json"
    if is_fresh(path, project):
        manifest = _read(path)
        if _database(manifest) == settings.clickhouse_database:
            return manifest
    run_dbt(settings, "parse", project=project)
    # dbt keeps the file as it is when nothing changed but times: it is fresh from now on.
    path.touch()
    return _read(path)


def is_fresh(manifest: Path, project: Path) -> bool:
    """Whether the file is newer than everything in the project (a folder changes when a file in it goes)."""
    if not manifest.exists():
        return False
    written = manifest.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns < written for path in _parts(project))


def _parts(project: Path) -> Iterator[Path]:
    yield from (project / name for name in ("dbt_project.yml", "profiles.yml"))
    for name in ("models", "macros", "seeds", "snapshots", "analyses", "tests"):
        folder = project / name
        if folder.is_dir():
            yield folder
            yield from folder.rglob("*")


def _read(path: Path) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = json.loads(path.read_bytes())
    return manifest


def _database(manifest: Mapping[str, Any]) -> str | None:
    """The database that the manifest's sources are in; it is rendered when dbt parses."""
    databases = {source["schema"] for source in manifest["sources"].values()}
    return databases.pop() if len(databases) == 1 else None
