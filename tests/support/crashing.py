"""A writer whose process ends at a chosen step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assay.warehouse.client import connect
from tests.support.writing import Bench


class CrashError(Exception):
    """Stands for the end of the process: nothing in the writer handles it."""


class FailingClient:
    """A real client whose n-th insert is the last thing that its process does."""

    def __init__(self, client: Any, insert: int, *, executed: bool) -> None:
        self._client = client
        self._left = insert
        self._executed = executed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def raw_insert(self, *arguments: Any, **options: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._executed:
            raise CrashError
        result = self._client.raw_insert(*arguments, **options)
        if self._left == 0:
            raise CrashError
        return result


def failing(bench: Bench, insert: int, *, executed: bool) -> Callable[[], Any]:
    return lambda: FailingClient(connect(bench.settings), insert, executed=executed)
