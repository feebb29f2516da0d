"""How the commands show what they do."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column, Table

# Progress goes to standard error: standard output is for results.
stderr = Console(stderr=True)


def narrow(*columns: Column) -> Table:
    """A table for eighty columns: what would be a column of its own elsewhere is a line of a cell, and little
    room goes into frames."""
    return Table(
        *columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), leading=1
    )


def words(name: str) -> Column:
    """A column that is broken between words, and never cut."""
    return Column(name, overflow="fold")


def whole(name: str, *, right: bool = False) -> Column:
    """A column of names or figures, which are not broken as long as another column can be."""
    return Column(name, no_wrap=True, overflow="fold", justify="right" if right else "left")


def progress(*, hidden: bool = False, width: int = 40) -> Progress:
    """A progress bar of so many characters with counts and elapsed time."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(width),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr,
        disable=hidden,
    )
