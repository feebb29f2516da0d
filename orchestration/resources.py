"""What Dagster objects reach outside with: the store and dbt. Nothing connects before it is used."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from clickhouse_connect.driver.client import Client
from dagster_dbt import DbtCliResource

from assay.settings import Settings, load_settings
from assay.warehouse.client import connect
from assay.warehouse.dbt import PROJECT, dbt_environment
from orchestration.manifest import target_dir

# Artifacts of the newest runs are kept to look at; one set is about 2 MB.
_KEPT_ARTIFACTS = 5


class Store(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The settings of this process and ClickHouse clients on them."""

    @property
    def settings(self) -> Settings:
        """The settings, read from ``ASSAY_*``."""
        return load_settings()

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client of its own for one use, closed afterwards."""
        client = connect(self.settings)
        try:
            yield client
        finally:
            client.close()


class Dbt(DbtCliResource):
    """dbt on the configured store, with its artifacts under the data directory."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Dbt]:  # noqa: ARG002
        """Give the run what ``profiles.yml`` reads: dagster-dbt hands dbt this process's environment."""
        settings = load_settings()
        target = target_dir(settings)
        with _environment({**dbt_environment(settings), "DBT_TARGET_PATH": str(target)}):
            yield self
        remove_old_artifacts(target, keep=_KEPT_ARTIFACTS)


def dbt_resource() -> Dbt:
    """The project of this checkout, run with the dbt of this Python."""
    return Dbt(
        project_dir=str(PROJECT),
        profiles_dir=str(PROJECT),
        dbt_executable=str(Path(sys.executable).with_name("dbt")),
        global_config_flags=["--no-use-colors"],
    )


def remove_old_artifacts(target: Path, *, keep: int) -> None:
    """Remove all but the newest ``keep`` folders in ``target``: each run of dbt leaves one."""
    folders = sorted((p for p in target.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for folder in folders[: max(0, len(folders) - keep)]:
        # A run beside this one may remove the same folder.
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
