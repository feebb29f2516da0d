from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse import corrections
from assay.warehouse.client import connect

ROWS = 40


@pytest.fixture
def client(built: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A store with 40 calls of two tenants over three days; chunks are small: corrections have several."""
    monkeypatch.setattr(corrections, "_CHUNK_ROWS", 7)
    with connect(built) as found:
        found.command(
            "INSERT INTO llm_traces (tenant_id, model, prompt_template_version, timestamp, trace_id, span_id,"
            " status, prompt_tokens, completion_tokens, cached_tokens, billed, cost_usd, cost_status,"
            " latency_ms, retention_start) "
            "SELECT if(number % 2 = 0, 'a', 'b'), 'm', 'v', now64(6, 'UTC') - toIntervalHour(number * 2), "
            "toString(number), 's', 'ok', 100 + number, 10, 50, true, "
            "if(number % 10 = 0, NULL, toDecimal128('0.01', 12)), if(number % 10 = 0, 'unpriced', 'priced'), "
            f"100 * (1 + number), today() FROM numbers({ROWS})"
        )
        yield found


def figures(client: Client, source: str) -> tuple[Any, ...]:
    """Calls, priced calls, dollars and tokens of each tenant."""
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
    return tuple(client.query(sql).result_rows)


def assert_all_agree(client: Client) -> tuple[Any, ...]:
    raw = figures(client, "raw")
    for source in ("signed", "llm_kpi_1min", "llm_kpi_1h", "llm_kpi_1d"):
        assert figures(client, source) == raw, source
    return raw


def reprice(client: Client, correction_id: str) -> int:
    return corrections.correct(
        client,
        "llm_traces",
        correction_id=correction_id,
        where="tenant_id = {tenant:String}",
        parameters={"tenant": "a"},
        new={"cost_usd": "toDecimal128('0.03', 12)", "cost_status": "'priced'"},
        reason="another price",
        actor="test",
    )


def test_new_values_are_in_raw_table_and_rollups(client: Client) -> None:
    before = assert_all_agree(client)
    assert reprice(client, "first") == ROWS // 2
    after = assert_all_agree(client)
    assert after[0][3] == Decimal("0.6")
    assert after[0][2] == ROWS // 2
    assert after[1] == before[1], "the other tenant is as it was"
    assert client.query("SELECT uniqExact(trace_id) FROM llm_traces FINAL").result_rows == [(ROWS,)]
    assert client.query(
        "SELECT assay_quantile(sumMap(cost_histogram), 0.5) BETWEEN 0.0297 AND 0.0303, "
        "arraySum(mapValues(sumMap(cost_histogram))) FROM llm_kpi_1d WHERE tenant_id = 'a'"
    ).result_rows == [(True, ROWS // 2)], "the old prices left the histogram"


def test_repeated_under_the_same_id_it_does_nothing(client: Client) -> None:
    reprice(client, "once")
    after = assert_all_agree(client)
    assert reprice(client, "once") == ROWS // 2
    assert assert_all_agree(client) == after
    events = client.query("SELECT event FROM corrections ORDER BY event").result_rows
    assert events == [("applied",), ("progress",), ("progress",), ("staged",)]


def test_survives_merges(client: Client) -> None:
    reprice(client, "first")
    reprice(client, "second")
    after = assert_all_agree(client)
    client.command("OPTIMIZE TABLE llm_traces FINAL")
    assert assert_all_agree(client) == after
    assert client.query("SELECT count() FROM llm_traces").result_rows == [(ROWS,)]


class _Broken:
    """A client whose server goes at the n-th insert of a chunk: before it arrives, or before its answer."""

    def __init__(self, client: Client, at: int, *, arrives: bool) -> None:
        self._client = client
        self._left = at
        self._arrives = arrives

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def command(self, sql: str, **options: Any) -> Any:
        if not sql.startswith("INSERT INTO llm_traces"):
            return self._client.command(sql, **options)
        self._left -= 1
        if self._left == 0:
            if self._arrives:
                self._client.command(sql, **options)
            raise ConnectionError("the server is gone")
        return self._client.command(sql, **options)


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_crash_in_the_middle_is_resumed(client: Client, at: int, arrives: bool) -> None:
    with pytest.raises(ConnectionError):
        reprice(_Broken(client, at, arrives=arrives), "cut")  # type: ignore[arg-type]
    assert_all_agree(client)
    assert corrections.resume(client) == ["cut"]
    after = assert_all_agree(client)
    assert after[0][3] == Decimal("0.6")
    assert corrections.resume(client) == []
    assert client.query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'correction\\_%'"
    ).result_rows == [(0,)]


def test_resumed_late_no_chunk_is_repeated(client: Client) -> None:
    """The store forgets the tokens of old inserts."""
    with pytest.raises(ConnectionError):
        reprice(_Broken(client, 3, arrives=False), "cut")  # type: ignore[arg-type]
    client.command("ALTER TABLE llm_traces MODIFY SETTING non_replicated_deduplication_window = 0")
    assert corrections.resume(client) == ["cut"]
    assert assert_all_agree(client)[0][3] == Decimal("0.6")


def test_what_somebody_is_at_work_on_is_left_to_him(client: Client) -> None:
    with pytest.raises(ConnectionError):
        reprice(_Broken(client, 2, arrives=False), "cut")  # type: ignore[arg-type]
    assert corrections.resume(client, idle_s=60) == []
    assert corrections.resume(client) == ["cut"]


def test_two_that_finish_the_same_correction_agree(client: Client) -> None:
    """The one that comes second finds it applied and its rows gone."""

    class Overtaken(_Broken):
        def command(self, sql: str, **options: Any) -> Any:
            if sql.startswith("INSERT INTO llm_traces"):
                self._left -= 1
                if self._left == 0:
                    done = self._client.command(sql, **options)
                    assert corrections.resume(self._client) == ["both"]
                    return done
            return self._client.command(sql, **options)

    reprice(Overtaken(client, 2, arrives=True), "both")  # type: ignore[arg-type]
    assert assert_all_agree(client)[0][3] == Decimal("0.6")
    assert client.query("SELECT countIf(event = 'applied') FROM corrections").result_rows == [(1,)]


def test_a_crash_between_the_record_and_the_end_leaves_no_rows_behind(client: Client) -> None:
    reprice(client, "done")
    client.command("CREATE TABLE correction_done ENGINE = MergeTree ORDER BY tuple() AS SELECT 1 AS x")
    assert corrections.resume(client) == []
    assert client.query("EXISTS correction_done").result_rows == [(0,)]


def test_an_erased_tenant_is_nowhere(client: Client) -> None:
    erased = corrections.erase(
        client, "llm_traces", correction_id="gone", where="tenant_id = 'a'", reason="asked to", actor="test"
    )
    assert erased == ROWS // 2
    after = assert_all_agree(client)
    assert [row[0] for row in after] == ["b"]
    client.command("OPTIMIZE TABLE llm_traces FINAL")
    assert client.query("SELECT countIf(tenant_id = 'a') FROM llm_traces").result_rows == [(0,)]


def test_the_guard_is_held_throughout(client: Client) -> None:
    held = []

    @contextmanager
    def guard() -> Iterator[None]:
        held.append("taken")
        yield
        held.append("given back")

    corrections.correct(
        client,
        "llm_traces",
        correction_id="guarded",
        where="tenant_id = 'a'",
        new={"cost_reason": "'checked'"},
        reason="",
        actor="test",
        guard=guard,
    )
    assert held == ["taken", "given back"], "once, from choosing the rows until the last of 20 in chunks of 7"


@pytest.mark.parametrize(
    ("table", "correction_id", "new", "named"),
    [
        ("tenants", "x", {"tier": "'batch'"}, "tenants"),
        ("llm_traces", "x", {"colour": "1"}, "colour"),
        ("llm_traces", "x", {}, "none given"),
        ("llm_traces", "x", {"model": "'other'"}, "model"),
        ("llm_traces", "x; DROP TABLE llm_traces", {"cost_usd": "NULL"}, "correction_id"),
    ],
)
def test_what_cannot_be_corrected_is_named(
    client: Client, table: str, correction_id: str, new: dict[str, str], named: str
) -> None:
    with pytest.raises(corrections.CorrectionError, match=named):
        corrections.correct(
            client, table, correction_id=correction_id, where="1", new=new, reason="", actor="test"
        )
