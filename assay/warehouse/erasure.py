"""Taking a tenant out of the store.

First the signed tables are corrected, so that raw rows and rollups agree at every moment. What is then left
of the tenant counts for nothing: pairs of rows that cancel out, rollup rows of zero, reference data,
decisions. It is merged away or deleted where it lies, on whichever volume.

No statement that the store keeps (a mutation's text lies beside the data) holds the tenant's id: rows are
named by the SHA-256 of the id, or by helper tables that are dropped at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import date
from typing import Final

from clickhouse_connect.driver.client import Client

from assay.warehouse import corrections, mutations, occurrences
from assay.warehouse.occurrences import Table

# Rows of nobody in particular that name the tenant: these go, elsewhere the name is taken out of the text.
_DROPPED: Final = ("ingest_rejects",)
ERASED: Final = "[erased]"
_ON_DAY: Final = "toDate(timestamp) = {day:Date}"
_JUDGED: Final = "attributes['judged.tenant_id'] = {tenant:String}"


class ErasureError(RuntimeError):
    """The store could not carry out a step; the message says which and why. Repeating the erasure goes on."""


def digest(tenant: str) -> str:
    """Under which an erasure is on record: it can be told from the id, the id cannot be read from it."""
    return hashlib.sha256(tenant.encode()).hexdigest()


class Erasure:
    """One tenant's erasure. Every step may be repeated.

    Args:
        client: of the store.
        tenant: whose rows go.
        erasure_id: letters and digits; names the corrections.
        reason: for the record; must not name the tenant.
        actor: for the record.
        guard: as of :func:`assay.warehouse.corrections.correct`.
    """

    def __init__(
        self,
        client: Client,
        tenant: str,
        *,
        erasure_id: str,
        reason: str,
        actor: str,
        guard: corrections.Guard = nullcontext,
    ) -> None:
        self._client = client
        self._tenant = tenant
        self._id = erasure_id
        self._reason = reason
        self._actor = actor
        self._guard = guard
        # The same in every attempt: what one that died had collected is not lost.
        self._helper = f"erasure_{digest(tenant)[:16]}"
        self._remembered = False
        self._is_own = f"SHA256(tenant_id) = unhex('{digest(tenant)}')"

    def remember(self) -> None:
        """Collect the traces and users that are this tenant's alone: records without a tenant go by them."""
        self._client.command(
            f"CREATE TABLE IF NOT EXISTS {self._helper} (kind String, value String) "
            "ENGINE = ReplacingMergeTree ORDER BY (kind, value)"
        )
        self._remembered = True
        given = {"tenant": self._tenant}
        tables = self._tables()
        for column in ("trace_id", "user_id"):
            holders = [t.name for t in tables if t.has_tenant and column in t.columns]
            own = " UNION DISTINCT ".join(
                f"SELECT {column} FROM `{name}` WHERE tenant_id = {{tenant:String}} AND {column} != ''"
                for name in holders
            )
            self._client.command(
                f"INSERT INTO {self._helper} SELECT '{column}', {column} FROM ({own})", parameters=given
            )
            # Also what an attempt that died had collected, should others have it by now.
            collected = f"SELECT value FROM {self._helper} WHERE kind = '{column}'"
            others = " UNION ALL ".join(
                f"SELECT {column} FROM `{name}` WHERE NOT ({self._is_own}) "
                f"AND tenant_id NOT IN {occurrences.NOBODY} AND {column} IN ({collected})"
                for name in holders
            )
            self._client.command(
                f"DELETE FROM {self._helper} WHERE kind = '{column}' AND value IN ({others})",
                settings={"lightweight_deletes_sync": 2},
            )

    def traces_among(self, candidates: Iterable[str]) -> set[str]:
        """Which of these traces are the tenant's: stored now, or when they were remembered."""
        wanted = sorted(set(candidates))
        if not wanted:
            return set()
        among = "{ids:Array(String)}"
        sql = f"SELECT trace_id FROM llm_traces WHERE tenant_id = {{tenant:String}} AND trace_id IN {among}"
        if self._remembered:
            sql += (
                f" UNION DISTINCT SELECT value FROM {self._helper} "
                f"WHERE kind = 'trace_id' AND value IN {among}"
            )
        rows = self._client.query(sql, parameters={"tenant": self._tenant, "ids": wanted}).result_rows
        return {str(value) for (value,) in rows}

    def correct(self) -> None:
        """Subtract the tenant's calls and scores from raw tables and rollups, a day at a time."""
        for table in corrections.CORRECTED:
            for day in self._days(table, "tenant_id = {tenant:String}"):
                corrections.erase(
                    self._client,
                    table,
                    correction_id=f"erase_{self._id}_{table}_{day:%Y%m%d}",
                    where=f"tenant_id = {{tenant:String}} AND {_ON_DAY}",
                    parameters={"tenant": self._tenant, "day": day},
                    reason=self._reason,
                    actor=self._actor,
                    guard=self._guard,
                )
        # Assay's own calls of a judge stay, being spend; whom they were about goes.
        for day in self._days("llm_traces", _JUDGED):
            corrections.correct(
                self._client,
                "llm_traces",
                correction_id=f"erase_{self._id}_judged_{day:%Y%m%d}",
                where=f"{_JUDGED} AND {_ON_DAY}",
                new={"attributes": "mapFilter((k, v) -> NOT startsWith(k, 'judged.'), attributes)"},
                parameters={"tenant": self._tenant, "day": day},
                reason=self._reason,
                actor=self._actor,
                guard=self._guard,
            )

    def remove(self) -> None:
        """Take what is left of the tenant off the disks; after :meth:`correct`."""
        self._take_out_of_keys()
        tables = self._tables()
        for table in tables:
            if table.has_tenant:
                self._merge(table)
                self._delete(table.name, self._is_own)
            # Also what is of nobody in a table of tenants' rows; calls and scores always have a tenant.
            if table.name not in (self._helper, *corrections.CORRECTED) and "trace_id" in table.columns:
                self._delete(table.name, self._of_remembered(table))
        for occurrence in occurrences.scan(self._client, self._tenant):
            if occurrence.kind == "shared":
                table = next(t for t in tables if t.name == occurrence.table)
                self._take_out_of_text(table, occurrence.column)

    def forget(self) -> None:
        """Drop what :meth:`remember` collected."""
        self._remembered = False
        self._client.command(f"DROP TABLE IF EXISTS {self._helper}")

    def _days(self, table: str, where: str) -> list[date]:
        rows = self._client.query(
            f"SELECT DISTINCT toDate(timestamp) FROM {table} WHERE {where} ORDER BY 1",
            parameters={"tenant": self._tenant},
        ).result_rows
        return [day for (day,) in rows]

    def _tables(self) -> list[Table]:
        return [table for table in occurrences.tables(self._client) if "MergeTree" in table.engine]

    def _of_remembered(self, table: Table) -> str:
        of = "(SELECT value FROM {} WHERE kind = '{}')".format
        condition = f"trace_id IN {of(self._helper, 'trace_id')}"
        if "user_id" in table.columns:
            condition += f" OR (trace_id = '' AND user_id IN {of(self._helper, 'user_id')})"
        return f"tenant_id IN {occurrences.NOBODY} AND ({condition})" if table.has_tenant else condition

    def _merge(self, table: Table) -> None:
        """Merge the parts in which the tenant's rows lie: in one step rows and what cancels them are gone."""
        if not table.engine.startswith(("Collapsing", "Aggregating")):
            return
        concerned = "tenant_id = {tenant:String}" + (f" OR {_JUDGED}" if table.name == "llm_traces" else "")
        for (partition,) in self._client.query(
            f"SELECT DISTINCT _partition_id FROM `{table.name}` WHERE {concerned}",
            parameters={"tenant": self._tenant},
        ).result_rows:
            self._client.command(f"OPTIMIZE TABLE `{table.name}` PARTITION ID '{partition}' FINAL")

    def _take_out_of_keys(self) -> None:
        """API keys of this tenant alone end; those of several tenants lose it."""
        columns = ", ".join(next(t.columns for t in self._tables() if t.name == "api_keys"))
        kept = columns.replace("tenants", "arrayFilter(t -> t != {tenant:String}, tenants) AS left_tenants")
        kept = kept.replace("updated_at", "addMicroseconds(updated_at, 1)")
        self._client.command(
            f"INSERT INTO api_keys ({columns}) SELECT {kept} FROM api_keys FINAL "
            "WHERE has(tenants, {tenant:String}) AND notEmpty(left_tenants)",
            parameters={"tenant": self._tenant},
        )
        self._delete("api_keys", f"arrayExists(t -> SHA256(t) = unhex('{digest(self._tenant)}'), tenants)")

    def _take_out_of_text(self, table: Table, column: str) -> None:
        """A row that names the tenant in its text is written again without the name, or dropped."""
        named = occurrences.named(column, table.columns[column], self._tenant)
        nobody = f"tenant_id IN {occurrences.NOBODY}" if table.has_tenant else "1"
        given = occurrences.parameters(self._tenant)
        rows = f"{self._helper}_rows"
        names = [name for name in table.columns if name in self._stored(table.name)]
        fingerprint = f"sipHash128({', '.join(f'toString(`{name}`)' for name in names)})"
        self._client.command(f"DROP TABLE IF EXISTS {rows}")
        self._client.command(
            f"CREATE TABLE {rows} ENGINE = MergeTree ORDER BY hash AS SELECT {fingerprint} AS hash "
            f"FROM `{table.name}` WHERE {nobody} AND {named}",
            parameters=given,
        )
        if table.name not in _DROPPED:
            text = f"`{column}`"
            for i in range(len(given) // 2):
                text = f"replaceAll({text}, {{needle{i}:String}}, '{ERASED}')"
            values = ", ".join(text if name == column else f"`{name}`" for name in names)
            self._client.command(
                f"INSERT INTO `{table.name}` ({', '.join(f'`{name}`' for name in names)}) "
                f"SELECT {values} FROM `{table.name}` WHERE {fingerprint} IN (SELECT hash FROM {rows})",
                parameters=given,
            )
        self._delete(table.name, f"{fingerprint} IN (SELECT hash FROM {rows})")
        self._client.command(f"DROP TABLE IF EXISTS {rows}")

    def _stored(self, table: str) -> set[str]:
        """Columns that an insert gives."""
        rows = self._client.query(
            "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
            "AND default_kind NOT IN ('MATERIALIZED', 'ALIAS')",
            parameters={"table": table},
        ).result_rows
        return {str(name) for (name,) in rows}

    def _delete(self, table: str, condition: str) -> None:
        """Rewrite the parts that hold such rows, and wait for it.

        Raises:
            ErasureError: the store could not.
        """
        if not self._client.query(f"SELECT count() FROM `{table}` WHERE {condition}").result_rows[0][0]:
            return
        try:
            mutations.delete(self._client, table, condition)
        except mutations.MutationError as error:
            raise ErasureError(str(error)) from error
