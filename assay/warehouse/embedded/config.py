"""The engine's configuration file, and the directory that one process holds."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from assay.warehouse.embedded.storage import S3, add_storage

# An idle engine should cost next to nothing: few background threads (merges and TTL still run), and caches
# of a size that a laptop can spare. The engine's own defaults reserve several gigabytes.
_SERVER = {
    "background_pool_size": "2",
    "background_schedule_pool_size": "8",
    "background_schedule_pool_initial_size": "2",
    "background_common_pool_size": "2",
    "background_move_pool_size": "1",
    "background_fetches_pool_size": "1",
    "mark_cache_size": str(64 << 20),
    "primary_index_cache_size": str(64 << 20),
    "index_mark_cache_size": str(32 << 20),
    "compiled_expression_cache_size": str(32 << 20),
    "query_condition_cache_size": str(16 << 20),
    "max_server_memory_usage_to_ram_ratio": "0.6",
}


class DirectoryInUseError(RuntimeError):
    """Another process owns the data directory."""


# Without these an insert is answered when the operating system has it, which writes it within half a minute.
_SYNC = {"fsync_after_insert": "1", "fsync_part_directory": "1"}


def write_config(data_dir: Path, *, sync: bool = False, cold: S3 | None = None) -> Path:
    """Write the engine's configuration under ``data_dir``; return the file.

    Args:
        data_dir: where it goes.
        sync: whether an insert waits until the disk has it.
        cold: where the oldest parts go; a local directory unless given.
    """
    root = ElementTree.Element("clickhouse")
    for name, value in _SERVER.items():
        ElementTree.SubElement(root, name).text = value
    backups = ElementTree.SubElement(root, "backups")
    ElementTree.SubElement(backups, "allowed_path").text = f"{data_dir / 'backups'}/"
    add_storage(root, data_dir, cold)
    if sync:
        tables = ElementTree.SubElement(root, "merge_tree")
        for name, value in _SYNC.items():
            ElementTree.SubElement(tables, name).text = value
    file = data_dir / "clickhouse.xml"
    ElementTree.indent(root)
    # Made for its owner alone: it may hold the key of a bucket.
    file.touch(mode=0o600)
    file.chmod(0o600)
    ElementTree.ElementTree(root).write(file, encoding="unicode")
    return file


@contextmanager
def hold(data_dir: Path) -> Iterator[Path]:
    """Own the directory until the block ends; yield where the engine keeps its files.

    Raises:
        DirectoryInUseError: naming the directory and the process that owns it.
    """
    directory = data_dir / "clickhouse"
    directory.mkdir(parents=True, exist_ok=True)
    with (data_dir / "clickhouse.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DirectoryInUseError(
                f"{data_dir} is already served by process {lock.read().strip() or 'unknown'}; "
                "stop it, or choose another --data-dir"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield directory
