"""What corrections know of the views behind a table, they read from the store."""

from __future__ import annotations

from typing import Any

import pytest

from assay.warehouse.corrections.rows import CorrectionError
from assay.warehouse.corrections.views import Table, View, behind

STAGED = Table("db", "correction_1~raw")


def view(select: str) -> View:
    return View("v", Table("my-db", "raw"), Table("my-db", "target"), ("x",), select)


@pytest.mark.parametrize(
    ("select", "over"),
    [
        ("SELECT x FROM `my-db`.raw WHERE x", "SELECT x FROM {} AS `raw` WHERE x"),
        ("SELECT raw.x FROM `my-db`.raw", "SELECT raw.x FROM {} AS `raw`"),
        ("SELECT r.x FROM `my-db`.raw AS r", "SELECT r.x FROM {} AS r"),
        (
            "WITH a AS (SELECT x FROM `my-db`.raw) SELECT x FROM a INNER JOIN `my-db`.raw_2 USING (x)",
            "WITH a AS (SELECT x FROM {} AS `raw`) SELECT x FROM a INNER JOIN `my-db`.raw_2 USING (x)",
        ),
    ],
    ids=["plain", "qualified", "alias", "join"],
)
def test_a_view_over_another_table(select: str, over: str) -> None:
    assert view(select).over(STAGED) == over.format("`db`.`correction_1~raw`")


def test_a_view_that_does_not_read_its_source_is_named() -> None:
    with pytest.raises(CorrectionError, match="the view v does not read"):
        view("SELECT x FROM other.raw").over(STAGED)


def test_a_rollup_that_somebody_adds_is_corrected(calls: Any) -> None:
    """Also one behind a rollup, and one that two views write to."""
    client = calls.client
    for table in ("chained", "shared"):
        client.command(
            f"CREATE TABLE {table} (tenant_id String, calls Int64, dollars Decimal(38, 12)) "
            "ENGINE = SummingMergeTree ORDER BY tenant_id"
        )
    from_rollup = "SELECT tenant_id, sum(request_count) AS calls, ifNull(sum(s.cost_usd), 0) AS dollars FROM"
    from_raw = "SELECT sum(sign) AS calls, tenant_id, ifNull(sum(sign * s.cost_usd), 0) AS dollars FROM"
    client.command(
        f"CREATE MATERIALIZED VIEW a_view TO chained AS {from_rollup} llm_kpi_1h AS s GROUP BY tenant_id"
    )
    client.command(
        f"CREATE MATERIALIZED VIEW b_view TO shared AS {from_rollup} llm_kpi_1d AS s GROUP BY tenant_id"
    )
    client.command(
        f"CREATE MATERIALIZED VIEW c_view TO shared AS {from_raw} llm_traces AS s "
        "WHERE billed GROUP BY tenant_id"
    )
    found = [v.name for v in behind(client, Table(client.database, "llm_traces"))]
    assert found.index("a_view") > found.index("llm_kpi_1h_mv")
    assert {"b_view", "c_view", "llm_span_index_view"} <= set(found)
    before = calls.assert_all_agree()[0]
    calls.reprice("first")
    after = calls.assert_all_agree()[0]
    # They were empty: what they have now is what the correction adds.
    more = after[3] - before[3]
    for table, times in (("chained", 1), ("shared", 2)):
        assert calls.one(f"SELECT sum(calls), sum(dollars) FROM {table} WHERE tenant_id = 'a'") == (
            0,
            times * more,
        )


def test_a_view_without_a_named_table_is_refused(calls: Any) -> None:
    calls.client.command(
        "CREATE MATERIALIZED VIEW hidden ENGINE = MergeTree ORDER BY tenant_id AS "
        "SELECT tenant_id FROM llm_traces"
    )
    with pytest.raises(CorrectionError, match=r"hidden .*create it with TO"):
        calls.reprice("first")
