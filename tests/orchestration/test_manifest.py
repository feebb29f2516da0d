"""The manifest follows the project by itself."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_dbt import DbtProject, dbt_assets

from assay.settings import Settings
from assay.warehouse.dbt import PROJECT, DbtError
from orchestration.manifest import is_fresh, load_manifest, target_dir


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, all of it an hour old."""
    copy = tmp_path / "project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    then = time.time() - 3600
    for path in [copy, *copy.rglob("*")]:
        os.utime(path, (then, then))
    return copy


def _edit(project: Path) -> None:
    (project / "models/marts/kpi_daily.sql").write_text("select 1 as one")


def _add(project: Path) -> None:
    (project / "models/marts/new.sql").write_text("select 1 as one")


def _remove(project: Path) -> None:
    (project / "models/marts/kpi_daily.sql").unlink()


def _configure(project: Path) -> None:
    with (project / "dbt_project.yml").open("a") as file:
        file.write("# changed\n")


@pytest.mark.parametrize("change", [_edit, _add, _remove, _configure])
def test_every_change_makes_it_stale(project: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Editing, adding and removing a file, and configuring the project."""
    manifest = tmp_path / "manifest.json"
    assert not is_fresh(manifest, project)
    manifest.write_text("{}")
    os.utime(manifest, (time.time() - 60, time.time() - 60))
    assert is_fresh(manifest, project)
    change(project)
    assert not is_fresh(manifest, project)


def test_new_model_is_an_asset(project: Path, tmp_path: Path, definitions: dg.Definitions) -> None:
    """An analyst adds a file; nothing in Python changes."""
    from orchestration.defs.kpis.assets import Translator

    settings = Settings(data_dir=tmp_path / "data", clickhouse_url="http://127.0.0.1:9")
    before = load_manifest(settings, project=project)
    parsed_at = (target_dir(settings) / "manifest.json").stat().st_mtime_ns
    assert load_manifest(settings, project=project) == before
    assert (target_dir(settings) / "manifest.json").stat().st_mtime_ns == parsed_at, "parsed for nothing"

    (project / "models/marts/spend_by_tenant.sql").write_text(
        "select tenant_id, sum(cost_usd) as cost_usd from {{ ref('kpi_daily') }} group by tenant_id"
    )

    @dbt_assets(
        manifest=load_manifest(settings, project=project),
        project=DbtProject(project, target_path=target_dir(settings)),
        dagster_dbt_translator=Translator(),
    )
    def models() -> Iterator[Any]:
        yield from ()

    spec = models.get_asset_spec(dg.AssetKey("spend_by_tenant"))
    assert [dep.asset_key for dep in spec.deps] == [dg.AssetKey("kpi_daily")]
    assert spec.group_name == "marts"


def test_another_database_is_another_manifest(project: Path, tmp_path: Path) -> None:
    """Sources are rendered with the database's name."""
    one = Settings(data_dir=tmp_path / "data", clickhouse_database="one")
    two = Settings(data_dir=tmp_path / "data", clickhouse_database="two")
    for settings in (one, two):
        sources = load_manifest(settings, project=project)["sources"].values()
        assert {source["schema"] for source in sources} == {settings.clickhouse_database}


def test_broken_model_names_itself(project: Path, tmp_path: Path) -> None:
    """What dbt says reaches whoever loads the definitions."""
    (project / "models/marts/broken.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(DbtError, match="nowhere"):
        load_manifest(Settings(data_dir=tmp_path / "data"), project=project)
