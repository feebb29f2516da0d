"""Deleting rows where they lie, and waiting until they are gone."""

from __future__ import annotations

import time
from typing import Final

from clickhouse_connect.driver.client import Client

_POLL_S: Final = 0.1


class MutationError(RuntimeError):
    """The store could not rewrite a part; the message says of which table, and why."""


def delete(client: Client, table: str, condition: str, *, partition_id: str | None = None) -> None:
    """Rewrite the parts that hold such rows, and wait for it; the store keeps the text of ``condition``.

    Raises:
        MutationError: the store could not.
    """
    where = "" if partition_id is None else f"IN PARTITION ID '{partition_id}' "
    # Waiting by asking: a statement that waits itself is cut off by the client's patience.
    client.command(f"ALTER TABLE `{table}` DELETE {where}WHERE {condition}", settings={"mutations_sync": 0})
    while running := client.query(
        "SELECT latest_fail_reason FROM system.mutations WHERE database = currentDatabase() "
        "AND table = {table:String} AND NOT is_done",
        parameters={"table": table},
    ).result_rows:
        if reason := next((text for (text,) in running if text), ""):
            raise MutationError(f"{table}: {reason}")
        time.sleep(_POLL_S)
