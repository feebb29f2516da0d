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


@pytest.mark.parametrize(
    ("host", "store"),
    [("0.0.0.0", "127.0.0.1"), ("10.0.0.7", "127.0.0.1"), ("::", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")],
)
def test_stores_without_a_password_stay_on_this_machine(tmp_path: Path, host: str, store: str) -> None:
    """Collector and screens may be reached from elsewhere; what they read from and write to may not."""
    settings = Settings(data_dir=tmp_path, host=host)
    clickhouse, valkey = (list(service.argv) for service in stores(settings))
    assert clickhouse[clickhouse.index("--host") + 1] == store
    assert valkey[valkey.index("--bind") + 1] == store
    assert settings.clickhouse == f"http://{store}:18123"
    assert settings.redis == f"redis://{store}:16379/0"


def test_an_ipv6_address_is_written_as_urls_want_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, host="::1")
    assert settings.clickhouse == "http://[::1]:18123"
    assert settings.collector == "http://[::1]:4318"
