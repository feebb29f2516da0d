"""Dagster's definitions on a database of the test alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assay.settings import Settings, load_settings


@pytest.fixture(scope="session")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """Everything that Dagster knows, loaded without a store: nothing listens where the settings point."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_DATA_DIR", str(tmp_path_factory.mktemp("definitions")))
        patch.setenv("ASSAY_CLICKHOUSE_URL", "http://127.0.0.1:9")
        load_settings.cache_clear()
        from orchestration.definitions import defs
    load_settings.cache_clear()
    return defs


@pytest.fixture
def settings(built: Settings, tmp_path: Path, definitions: dg.Definitions) -> Iterator[Settings]:
    """Settings as Dagster objects read them: from the environment, of this test's database."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ASSAY_")]:
            patch.delenv(name)
        patch.setenv("ASSAY_DATA_DIR", str(tmp_path))
        patch.setenv("ASSAY_CLICKHOUSE_URL", built.clickhouse)
        patch.setenv("ASSAY_CLICKHOUSE_DATABASE", built.clickhouse_database)
        load_settings.cache_clear()
        yield load_settings()
    load_settings.cache_clear()
