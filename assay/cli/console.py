"""How the commands show what they do."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

# Progress goes to standard error: standard output is for results.
stderr = Console(stderr=True)


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
