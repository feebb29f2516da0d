"""Repricing stored calls: the same in the raw table and in every rollup, and only what differs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from assay.pricing import slices, store
from assay.pricing.overrides import Override
from assay.pricing.reprice import ExpiredError, reprice
from assay.pricing.slices import slices as cut
from assay.pricing.table import LIST_PRICES, PriceTable
from assay.settings import Settings
from assay.warehouse import corrections
from assay.warehouse.client import connect
from tests.support.rows import insert, span

LAST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST = LAST - timedelta(days=40)
MODELS = ("claude-sonnet-4-5", "gpt-4o", "no-such-model")
# 1,000 input and 200 output: claude-sonnet-4-5 at 3 and 15, gpt-4o at 2.50 and 10.
LISTED = {"claude-sonnet-4-5": Decimal("0.006"), "gpt-4o": Decimal("0.0045"), "no-such-model": None}
CALLS = 120


def stored(number: int, **fields: Any) -> dict[str, Any]:
    model = MODELS[number % 3]
    cost = LISTED[model]
    return span(
        FIRST + timedelta(hours=number * 8, microseconds=number),
        **{
            "tenant_id": f"org_{number % 4}",
            "model": model,
            "provider": {"claude-sonnet-4-5": "anthropic", "gpt-4o": "openai"}.get(model, ""),
            "pricing_tier": "standard",
            "cost_usd": cost,
            "cost_status": "unpriced" if cost is None else "priced",
            "cost_reason": "no price for model no-such-model" if cost is None else "",
            "price_source": "genai-prices 0.0.1",
            "cached_tokens": None,
            "cache_write_tokens": None,
            "cache_write_1h_tokens": None,
            "units": {},
            **fields,
        },
    )


@pytest.fixture
def client(built: Settings) -> Iterator[Client]:
    with connect(built) as found:
        insert(found, "llm_traces", *(stored(number) for number in range(CALLS)))
        yield found


def override(**fields: Any) -> Override:
    return Override(**{"source": "contract", "valid_from": FIRST, "token_class": "output", **fields})


def figures(client: Client, source: str) -> list[tuple[Any, ...]]:
    """By series: calls, dollars (none where nothing has a price), unpriced calls."""
    if source == "llm_traces":
        sql = (
            "SELECT tenant_id, model, toInt64(count()), sum(cost_usd), countIf(cost_usd IS NULL) "
            "FROM llm_traces FINAL WHERE billed GROUP BY ALL ORDER BY ALL"
        )
    else:
        sql = (
            "SELECT tenant_id, model, sum(request_count) AS calls, "
            "if(sum(priced_count) = 0, NULL, sum(cost_usd)), sum(unpriced_count) "
            f"FROM {source} GROUP BY tenant_id, model HAVING calls > 0 ORDER BY ALL"
        )
    return list(client.query(sql).result_rows)


def assert_equal(client: Client) -> None:
    for grain in ("1min", "1h", "1d"):
        assert figures(client, f"llm_kpi_{grain}") == figures(client, "llm_traces"), grain


def total(client: Client, where: str = "1") -> Decimal:
    return client.query(f"SELECT sum(cost_usd) FROM llm_traces FINAL WHERE {where}").result_rows[0][0]


def test_at_the_same_prices_nothing_changes(client: Client) -> None:
    done = reprice(client, LIST_PRICES, FIRST, LAST)
    assert (done.calls, done.changed, done.differences) == (CALLS, 0, [])
    assert client.query("SELECT count() FROM corrections").result_rows == [(0,)]


@pytest.mark.parametrize("rows", [slices.ROWS, 5])
def test_another_price_reaches_raw_table_and_rollups(
    client: Client, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the slices: all at once, by tenant, by model, by hour."""
    monkeypatch.setattr(slices, "ROWS", rows)
    table = PriceTable([override(model="gpt-4o", price_usd=Decimal(20))])
    # 40 calls of gpt-4o, 200 output tokens at 20 instead of 10.
    more = 40 * 200 * Decimal(10) / 1_000_000
    before = total(client)
    looked: list[int] = []
    dry = reprice(client, table, FIRST, LAST, dry_run=True)
    assert total(client) == before
    done = reprice(client, table, FIRST, LAST, progress=looked.append)
    assert (dry.changed, dry.before_usd, dry.after_usd) == (40, done.before_usd, done.after_usd)
    assert (done.changed, done.after_usd - done.before_usd, sum(looked)) == (40, more, CALLS)
    assert total(client) == before + more
    assert_equal(client)
    assert reprice(client, table, FIRST, LAST).changed == 0
    (difference,) = done.differences
    assert (difference.provider, difference.model, difference.calls) == ("openai", "gpt-4o", 40)
    assert difference.stored_source == "genai-prices 0.0.1"
    assert difference.source.endswith(f"override {table.rows[0].id}")


def test_what_had_no_price_gets_one_and_what_has_none_any_more_loses_it(client: Client) -> None:
    rows = [override(model="no-such-model", token_class=c, price_usd=Decimal(1)) for c in ("input", "output")]
    done = reprice(client, PriceTable(rows), FIRST, LAST)
    (difference,) = done.differences
    assert (difference.unpriced_before, difference.unpriced_after, difference.before_usd) == (40, 0, None)
    assert_equal(client)
    back = reprice(client, LIST_PRICES, FIRST, LAST)
    assert (back.differences[0].unpriced_after, back.differences[0].after_usd) == (40, None)
    assert_equal(client)


def test_only_the_period_and_the_tenant(client: Client) -> None:
    table = PriceTable([override(token_class="input", price_usd=Decimal(100))])
    first, last = FIRST + timedelta(days=10), FIRST + timedelta(days=20)
    done = reprice(client, table, first, last, tenant="org_1")
    inside = f"timestamp >= '{first:%F %T}' AND timestamp < '{last:%F %T}' AND tenant_id = 'org_1'"
    assert done.calls == client.query(
        f"SELECT count() FROM llm_traces WHERE {inside} AND sign = -1"
    ).result_rows[0][0] + (done.calls - done.changed)
    assert client.query(
        f"SELECT count() FROM llm_traces FINAL WHERE NOT ({inside}) AND price_source LIKE '%override%'"
    ).result_rows == [(0,)]
    assert_equal(client)


def test_everything_that_decides_is_read_from_the_store(client: Client) -> None:
    """Cache writes of an hour, units, tier, the model that answered: as at ingest."""
    insert(
        client,
        "llm_traces",
        stored(
            0,
            tenant_id="all",
            model="alias",
            response_model="claude-sonnet-4-5",
            provider="anthropic",
            prompt_tokens=10_000,
            cached_tokens=5_000,
            cache_write_tokens=4_000,
            cache_write_1h_tokens=3_000,
            completion_tokens=1_000,
            units={"web_search": Decimal(2), "tool_call": Decimal("1.5")},
        ),
    )
    table = PriceTable([override(tenant_id="all", token_class="tool_call", price_usd=Decimal("0.1"))])
    reprice(client, table, FIRST, LAST)
    # 0.04125 for tokens, two searches at 10 a thousand, 1.5 tool calls at 0.1.
    assert total(client, "tenant_id = 'all'") == Decimal("0.04125") + Decimal("0.02") + Decimal("0.15")
    assert_equal(client)


def test_odd_names_are_found(client: Client) -> None:
    names = ["it's", 'quo"te', "back\\slash", "tab\t", "ünïcode", ""]
    insert(client, "llm_traces", *(stored(1, tenant_id=n, trace_id=f"odd{i}") for i, n in enumerate(names)))
    table = PriceTable([override(price_usd=Decimal(50))])
    assert reprice(client, table, FIRST, LAST).changed == CALLS + len(names)
    assert_equal(client)


def test_unbilled_calls_are_repriced_and_not_counted(client: Client) -> None:
    insert(client, "llm_traces", stored(1, billed=False, tenant_id="parent"))
    table = PriceTable([override(tenant_id="parent", price_usd=Decimal(50))])
    done = reprice(client, table, FIRST, LAST)
    assert (done.changed, done.before_usd, done.after_usd) == (1, 0, 0)
    assert_equal(client)


def test_expired_days_are_refused_by_date(client: Client) -> None:
    """A TTL takes raw rows and leaves rollups."""
    day = (FIRST + timedelta(days=5)).date()
    client.command(
        f"ALTER TABLE llm_traces DELETE WHERE toDate(timestamp) <= '{day}'", settings={"mutations_sync": 1}
    )
    table = PriceTable([override(price_usd=Decimal(50))])
    with pytest.raises(ExpiredError, match=f"{day}.*reprice from {day + timedelta(days=1)}"):
        reprice(client, table, FIRST, LAST)
    assert client.query("SELECT count() FROM llm_traces WHERE sign < 0").result_rows == [(0,)]
    assert reprice(client, table, FIRST + timedelta(days=6), LAST).changed > 0


def test_cut_off_and_run_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that died between two steps of a slice is finished by the next, under whatever name."""
    monkeypatch.setattr(slices, "ROWS", 15)
    table = PriceTable([override(price_usd=Decimal(50))])

    class Broken:
        left = 20

        def __getattr__(self, name: str) -> Any:
            return getattr(client, name)

        def command(self, sql: str, **options: Any) -> Any:
            if "MOVE PARTITION" in sql:
                Broken.left -= 1
                if Broken.left == 0:
                    raise ConnectionError
            return client.command(sql, **options)

    with pytest.raises(ConnectionError):
        reprice(Broken(), table, FIRST, LAST)  # type: ignore[arg-type]
    done = reprice(client, table, FIRST, LAST)
    assert 0 < done.changed < CALLS
    assert total(client, "model = 'gpt-4o'") == 40 * (Decimal("0.0025") + Decimal("0.01"))
    assert_equal(client)
    assert corrections.resume(client) == []
    assert client.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'correction\\_%'"
    ).result_rows == [(0,)]


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_slices_hold_every_call_once(client: Client, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "ROWS", rows)
    last = LAST - timedelta(days=7, microseconds=3)
    counts = [
        client.query(f"SELECT count() FROM llm_traces FINAL WHERE {part.where}", parameters=part.parameters)
        for part in cut(client, FIRST, last)
    ]
    sizes = [int(found.result_rows[0][0]) for found in counts]
    expected = client.query(f"SELECT count() FROM llm_traces WHERE timestamp < '{last:%F %T.%f}'").result_rows
    assert sum(sizes) == expected[0][0]
    assert max(sizes) <= max(rows, 1)


def test_the_price_table_is_what_was_committed_and_what_was_added(client: Client) -> None:
    row = override(model="gpt-4o", price_usd=Decimal("1.25"))
    store.add(client, row)
    client.command(
        "INSERT INTO price_overrides_seed (model, token_class, price_usd, valid_from, source, noted_at) "
        "VALUES ('own', 'image', 0.5, '2026-01-01', 'page', '2026-01-01')"
    )
    found = {r.id: r for r in store.load(client).rows}
    assert found[row.id].price_usd == Decimal("1.25")
    assert {r.model for r in found.values()} == {"gpt-4o", "own"}
    client.command("INSERT INTO price_overrides (model, source, valid_from) VALUES ('x', 's', '2026-01-01')")
    refused: list[str] = []
    assert len(store.load(client, refused=lambda error: refused.append(str(error))).rows) == 2
    assert "price_usd and discount_factor" in refused[0]
