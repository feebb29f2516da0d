"""What a kill leaves in the tables' deduplication logs.

The engine writes an insert's token into its table's log, then moves the part into place. Killed between the
two, it would take the repetition of that insert for a duplicate, and the rows would be lost. Both steps are
taken under the table's lock: so only the last entry of a log can speak of a part that never came to be.

A ClickHouse server has the same gap for tables that are not replicated; replicated ones keep their tokens in
Keeper, in one transaction with the part.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

_ADDED: Final = "1"
_FIELDS: Final = 3
_PART: Final = re.compile(r"(?P<partition>.+?)_(?P<first>\d+)_(?P<last>\d+)_\d+(?:_\d+)?")


class _Part(NamedTuple):
    """A part by its name: a merged one stands for all the blocks from first to last."""

    partition: str
    first: int
    last: int


def forget_unfinished(directory: Path) -> int:
    """Remove from each log a last entry whose part is not there; return how many.

    Args:
        directory: where the engine keeps its files; it must not be running.
    """
    return sum(_repair(folder) for folder in directory.glob("store/*/*/deduplication_logs"))


def _repair(folder: Path) -> bool:
    logs = sorted(folder.glob("deduplication_log_*.txt"), key=lambda file: int(file.stem.rpartition("_")[2]))
    for log in reversed(logs):
        whole, _, torn = log.read_text(encoding="utf-8").rpartition("\n")
        lines = whole.split("\n") if whole else []
        if not lines and not torn:
            continue
        unfinished = torn != "" or not _is_there(folder.parent, lines.pop())
        if unfinished:
            _replace(log, lines)
        return unfinished
    return False


def _is_there(table: Path, line: str) -> bool:
    """Whether the part of an entry is in the table, by itself or merged with others."""
    fields = line.split("\t")
    if len(fields) != _FIELDS or fields[0] != _ADDED:
        return True
    wanted = _parse(fields[1])
    if wanted is None:
        return True
    found = (_parse(entry.name) for entry in table.iterdir())
    return any(
        part.partition == wanted.partition and part.first <= wanted.first and wanted.last <= part.last
        for part in found
        if part is not None
    )


def _parse(name: str) -> _Part | None:
    match = _PART.fullmatch(name)
    if match is None or name.startswith(("tmp", "delete_tmp")):
        return None
    return _Part(match["partition"], int(match["first"]), int(match["last"]))


def _replace(log: Path, lines: list[str]) -> None:
    new = log.with_suffix(".new")
    new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    new.replace(log)
