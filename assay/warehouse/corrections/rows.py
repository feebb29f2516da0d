"""Which rows a correction is about, and what they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client

CORRECTED: Final = ("llm_traces", "llm_evaluations")


class CorrectionError(ValueError):
    """A correction that cannot be made; the message says why."""


@dataclass(frozen=True)
class Change:
    """Rows, and what becomes of each.

    Attributes:
        columns: of a row, ``sign`` left out.
        values: SQL by column; ``correction_sign`` says of which half of the pair.
        signs: SQL of the array of halves, old before new.
        source: what stands behind FROM: the rows as they are stored now.
        parameters: of ``source`` and ``values``.
    """

    columns: Sequence[str]
    values: Sequence[str]
    signs: str
    source: str
    parameters: Mapping[str, Any]


def columns(client: Client, table: str) -> list[str]:
    """What an insert has to give, but for ``sign``.

    Raises:
        CorrectionError: not a table that is corrected.
    """
    if table not in CORRECTED:
        raise CorrectionError(f"{table} is not one of the tables that are corrected: {', '.join(CORRECTED)}")
    return [
        name
        for (name,) in client.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND default_kind != 'MATERIALIZED' AND name != 'sign' ORDER BY position",
            parameters={"table": table},
        ).result_rows
    ]


def sort_key(client: Client, table: str) -> set[str]:
    """Columns that say where a row is: a pair collapses because both halves have the same."""
    return {
        name
        for (name,) in client.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND is_in_sorting_key",
            parameters={"table": table},
        ).result_rows
    }


def check_new(client: Client, table: str, known: Sequence[str], new: Sequence[str]) -> None:
    """See that these columns may have other values.

    Raises:
        CorrectionError: none are given, or one is unknown, or part of the sort key.
    """
    if not new or (unknown := set(new) - set(known)):
        raise CorrectionError(
            f"{table} has no column {', '.join(sorted(unknown)) if new else '(none given)'}"
        )
    if fixed := set(new) & sort_key(client, table):
        raise CorrectionError(
            f"{', '.join(sorted(fixed))} are part of the sort key of {table}: erase and load anew"
        )


def signed(known: Sequence[str], new: Mapping[str, str]) -> list[str]:
    """The columns of a correction's two rows: as it was, and with the new values."""
    return [f"if(correction_sign = 1, {new[name]}, {name})" if name in new else name for name in known]
