"""A built store with rows in every raw table that the models read, and a project to edit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.settings import Settings
from assay.warehouse.dbt import PROJECT
from tests.support.days import fill
from tests.support.stores import ClickHouse, built_database


@pytest.fixture
def filled(clickhouse: ClickHouse, template: Settings) -> Iterator[Settings]:
    """Settings of a built database with rows in it."""
    with built_database(clickhouse, template) as settings:
        fill(settings)
        yield settings


@pytest.fixture(scope="session")
def day(clickhouse: ClickHouse, template: Settings) -> Iterator[Settings]:
    """The same, for tests that only read."""
    with built_database(clickhouse, template) as settings:
        fill(settings)
        yield settings


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the dbt project to edit."""
    return Path(shutil.copytree(PROJECT, tmp_path / "dbt_project"))
