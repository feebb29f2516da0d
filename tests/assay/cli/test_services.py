"""What the embedded stores are started with, by what acknowledged records are to survive."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.cli.services import stores
from assay.settings import Settings


@pytest.mark.parametrize(
    ("durability", "appendfsync", "syncs"), [("process", "no", 0), ("power", "always", 1)]
)
def test_durability_reaches_both_stores(
    tmp_path: Path, durability: str, appendfsync: str, syncs: int
) -> None:
    clickhouse, valkey = stores(Settings(data_dir=tmp_path, durability=durability))
    assert list(clickhouse.argv).count("--sync") == syncs
    options = list(valkey.argv)
    assert options[options.index("--appendonly") + 1] == "yes"
    assert options[options.index("--appendfsync") + 1] == appendfsync


def test_stores_of_ones_own_are_not_started() -> None:
    settings = Settings(clickhouse_url="http://store:8123", redis_url="redis://queue:6379/0")
    assert stores(settings) == []
