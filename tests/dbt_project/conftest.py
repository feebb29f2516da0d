"""A built store with rows in every raw table that the models read, and a project to edit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.settings import Settings
from assay.warehouse.dbt import PROJECT
from tests.support.databases import Databases
from tests.support.days import fill


@pytest.fixture
def filled(built: Settings) -> Settings:
    """Settings of a built database with rows in it."""
    fill(built)
    return built


@pytest.fixture(scope="session")
def day(built_databases: Databases) -> Iterator[Settings]:
    """The same, for tests that only read."""
    with built_databases.lend() as settings:
        fill(settings)
        yield settings


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the dbt project to edit."""
    return Path(shutil.copytree(PROJECT, tmp_path / "dbt_project"))
