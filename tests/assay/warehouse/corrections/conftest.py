"""Stored calls to correct, and whether raw table and rollups say the same of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse import corrections
from assay.warehouse.client import connect

ROWS = 40


class Calls:
    """A store with 40 calls of two tenants over three days, half of them tenant a's."""

    count = ROWS

    def __init__(self, client: Client) -> None:
        self.client = client

    def one(self, sql: str) -> tuple[Any, ...]:
        (row,) = self.client.query(sql).result_rows
        return tuple(row)

    def figures(self, source: str) -> tuple[Any, ...]:
        """Calls, priced calls, dollars, tokens and histogram of each tenant."""
        if source == "raw":
            sql = (
                "SELECT tenant_id, toInt64(count()), countIf(cost_status != 'unpriced'), sum(cost_usd), "
                "toInt64(sum(prompt_tokens)) FROM llm_traces FINAL WHERE billed "
                "GROUP BY tenant_id ORDER BY tenant_id"
            )
        elif source == "signed":
            sql = (
                "SELECT tenant_id, sum(sign), sumIf(sign, cost_status != 'unpriced'), sum(sign * cost_usd), "
                "sum(sign * prompt_tokens) FROM llm_traces WHERE billed GROUP BY tenant_id "
                "HAVING sum(sign) > 0 ORDER BY tenant_id"
            )
        else:
            sql = (
                "SELECT tenant_id, sum(request_count), sum(priced_count), sum(cost_usd), sum(prompt_tokens) "
                f"FROM {source} GROUP BY tenant_id HAVING sum(request_count) > 0 ORDER BY tenant_id"
            )
        return tuple(self.client.query(sql).result_rows)

    def assert_all_agree(self) -> tuple[Any, ...]:
        raw = self.figures("raw")
        for source in ("signed", "llm_kpi_1min", "llm_kpi_1h", "llm_kpi_1d"):
            assert self.figures(source) == raw, source
        assert self.one("SELECT sum(request_count), sum(cost_usd) FROM llm_spend_15min") == (
            sum(row[1] for row in raw),
            sum(row[3] for row in raw),
        )
        return raw

    def reprice(self, correction_id: str, price: str = "0.03", client: Any = None, **options: Any) -> int:
        """Tenant a's calls get this price."""
        return corrections.correct(
            client or self.client,
            "llm_traces",
            correction_id=correction_id,
            where="tenant_id = {tenant:String}",
            parameters={"tenant": "a"},
            new={"cost_usd": f"toDecimal128('{price}', 12)", "cost_status": "'priced'"},
            reason="another price",
            actor="test",
            **options,
        )

    def staging(self) -> list[str]:
        """Tables that corrections left."""
        rows = self.client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() "
            "AND startsWith(name, 'correction_') ORDER BY name"
        ).result_rows
        return [name for (name,) in rows]


@pytest.fixture
def calls(built: Settings) -> Iterator[Calls]:
    with connect(built) as client:
        client.command(
            "INSERT INTO llm_traces (tenant_id, model, prompt_template_version, timestamp, trace_id, span_id,"
            " status, prompt_tokens, completion_tokens, cached_tokens, billed, cost_usd, cost_status,"
            " latency_ms, retention_start) "
            "SELECT if(number % 2 = 0, 'a', 'b'), 'm', 'v', now64(6, 'UTC') - toIntervalHour(number * 2), "
            "toString(number), 's', 'ok', 100 + number, 10, 50, true, "
            "if(number % 10 = 0, NULL, toDecimal128('0.01', 12)), if(number % 10 = 0, 'unpriced', 'priced'), "
            f"100 * (1 + number), today() FROM numbers({ROWS})"
        )
        yield Calls(client)
