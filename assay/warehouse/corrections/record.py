"""The record of corrections: append-only, what was changed, why, by whom, and how far it came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from assay.warehouse.corrections.swap import Move

_STATE: Final = """
    SELECT
        correction_id,
        anyIf(target, event = 'staged'),
        anyIf(rows, event = 'staged'),
        anyIf(staging, event = 'staged'),
        anyIf(moves, event = 'staged'),
        countIf(event = 'applied') > 0 AS is_applied
    FROM corrections
"""


@dataclass(frozen=True)
class Recorded:
    """A correction whose rows are staged: it will be, or is, applied.

    Attributes:
        correction_id: names it.
        table: the raw table.
        rows: how many are corrected.
        staging: name of what was staged for it.
        moves: what has to be moved.
        is_applied: whether all of it has been.
    """

    correction_id: str
    table: str
    rows: int
    staging: str
    moves: list[Move]
    is_applied: bool = False


def find(client: Client, correction_id: str) -> Recorded | None:
    """What is on record under an id."""
    rows = client.query(
        f"{_STATE} WHERE correction_id = {{id:String}} GROUP BY correction_id",
        parameters={"id": correction_id},
    ).result_rows
    return _recorded(rows[0]) if rows else None


def is_applied(client: Client, correction_id: str) -> bool:
    """Whether a correction is complete."""
    known = find(client, correction_id)
    return known is not None and known.is_applied


def unfinished(client: Client) -> list[Recorded]:
    """Corrections that were staged and not applied."""
    rows = client.query(f"{_STATE} GROUP BY correction_id HAVING NOT is_applied").result_rows
    return [_recorded(row) for row in rows]


def staged(client: Client, correction: Recorded, reason: str, actor: str) -> None:
    """Note that a correction is complete but for the moves: from here on it is finished, whatever happens."""
    client.insert(
        "corrections",
        [
            (
                correction.correction_id,
                "staged",
                correction.table,
                reason,
                actor,
                correction.rows,
                correction.staging,
                [tuple(move) for move in correction.moves],
            )
        ],
        column_names=["correction_id", "event", "target", "reason", "actor", "rows", "staging", "moves"],
    )


def applied(client: Client, correction_id: str, table: str) -> None:
    """Note that a correction is complete."""
    client.insert(
        "corrections",
        [(correction_id, "applied", table)],
        column_names=["correction_id", "event", "target"],
    )


def _recorded(row: Sequence[Any]) -> Recorded:
    correction_id, table, rows, staging, moves, is_applied = row
    return Recorded(
        correction_id, table, int(rows), staging, [Move(**move) for move in moves], bool(is_applied)
    )
