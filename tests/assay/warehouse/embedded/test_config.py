from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from assay.warehouse.embedded.config import DirectoryInUseError, hold, write_config


def test_backups_stay_in_the_data_directory(tmp_path: Path) -> None:
    root = ElementTree.parse(write_config(tmp_path)).getroot()
    assert root.findtext("backups/allowed_path") == f"{tmp_path / 'backups'}/"


def test_caches_are_of_a_size_for_a_laptop(tmp_path: Path) -> None:
    root = ElementTree.parse(write_config(tmp_path)).getroot()
    assert sum(int(e.text or 0) for e in root if e.tag.endswith("_cache_size")) < 512 << 20


def test_one_holder_of_a_directory(tmp_path: Path) -> None:
    with hold(tmp_path) as directory:
        assert directory.is_dir()
        with (
            pytest.raises(DirectoryInUseError, match=f"already served by process {os.getpid()}; stop it"),
            hold(tmp_path),
        ):
            pass
    with hold(tmp_path):
        pass


def test_a_stale_lock_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "clickhouse.lock").write_text("99999999999")
    with hold(tmp_path):
        assert (tmp_path / "clickhouse.lock").read_text() == str(os.getpid())
