from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from assay.warehouse import corrections
from assay.warehouse.corrections import staging


def test_new_values_are_in_raw_table_and_rollups(calls: Any) -> None:
    before = calls.assert_all_agree()
    assert calls.reprice("first") == calls.count // 2
    after = calls.assert_all_agree()
    assert after[0][3] == Decimal("0.6")
    assert after[0][2] == calls.count // 2
    assert after[1] == before[1], "the other tenant is as it was"
    assert calls.one("SELECT uniqExact(trace_id) FROM llm_traces FINAL") == (calls.count,)
    assert calls.one(
        "SELECT assay_quantile(sumMap(cost_histogram), 0.5) BETWEEN 0.0297 AND 0.0303, "
        "arraySum(mapValues(sumMap(cost_histogram))) FROM llm_kpi_1d WHERE tenant_id = 'a'"
    ) == (True, calls.count // 2), "the old prices left the histogram"
    assert calls.staging() == []


def test_repeated_under_the_same_id_it_does_nothing(calls: Any) -> None:
    calls.reprice("once")
    after = calls.assert_all_agree()
    assert calls.reprice("once", "0.9") == calls.count // 2
    assert calls.assert_all_agree() == after
    assert calls.client.query("SELECT event, reason, rows FROM corrections ORDER BY event").result_rows == [
        ("applied", "", 0),
        ("staged", "another price", calls.count // 2),
    ]


def test_survives_merges(calls: Any) -> None:
    calls.reprice("first")
    calls.reprice("second")
    after = calls.assert_all_agree()
    for table in ("llm_traces", "llm_kpi_1min", "llm_spend_15min"):
        calls.client.command(f"OPTIMIZE TABLE {table} FINAL")
    assert calls.assert_all_agree() == after
    assert calls.one("SELECT count() FROM llm_traces") == (calls.count,)


def test_an_erased_tenant_is_nowhere(calls: Any) -> None:
    erased = corrections.erase(
        calls.client,
        "llm_traces",
        correction_id="gone",
        where="tenant_id = 'a'",
        reason="asked to",
        actor="test",
    )
    assert erased == calls.count // 2
    assert [row[0] for row in calls.assert_all_agree()] == ["b"]
    calls.client.command("OPTIMIZE TABLE llm_traces FINAL")
    assert calls.one("SELECT countIf(tenant_id = 'a') FROM llm_traces") == (0,)


def test_values_from_elsewhere_replace_those_of_the_rows_that_they_name(calls: Any) -> None:
    key = ["tenant_id", "model", "prompt_template_version", "timestamp", "trace_id", "span_id"]
    stored = calls.client.query_arrow(
        f"SELECT {', '.join(key)} FROM llm_traces WHERE toUInt8(trace_id) < 5 ORDER BY toUInt8(trace_id)",
        use_strings=True,
    )
    prices = pa.array([Decimal(1), None, Decimal(3), Decimal(4), Decimal(5)], pa.decimal128(38, 12))
    values = stored.append_column("cost_usd", prices).append_column(
        "cost_status", pa.array(["priced", "unpriced", "priced", "priced", "priced"])
    )
    # A row that is not stored is nobody's; one outside of `where` is not searched for.
    ghost = values.slice(0, 1).set_column(4, values.schema.field(4), pa.array(["ghost"]))
    given = pa.concat_tables([values, ghost])
    found = corrections.replace(
        calls.client,
        "llm_traces",
        correction_id="priced",
        values=given,
        where="trace_id != {left:String}",
        parameters={"left": "4"},
        reason="priced elsewhere",
        actor="test",
    )
    assert found == 4
    assert calls.client.query(
        "SELECT trace_id, cost_usd FROM llm_traces FINAL WHERE toUInt8(trace_id) < 5 ORDER BY trace_id"
    ).result_rows == [
        ("0", Decimal(1)),
        ("1", None),
        ("2", Decimal(3)),
        ("3", Decimal(4)),
        ("4", Decimal("0.01")),
    ]
    calls.assert_all_agree()
    assert calls.staging() == []
    with pytest.raises(corrections.CorrectionError, match="lack span_id of its sort key"):
        corrections.replace(
            calls.client,
            "llm_traces",
            correction_id="no_key",
            values=values.drop_columns(["span_id"]),
            where="1",
            reason="",
            actor="test",
        )


def test_a_large_correction_comes_in_several_parts(calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is moved as one, its pairs in their order also where a block ends between the two."""
    small = {"max_block_size": 3, "min_insert_block_size_rows": 3, "min_insert_block_size_bytes": 0}
    monkeypatch.setattr(staging, "_PAIRS", {**staging._PAIRS, **small})
    monkeypatch.setattr(staging, "_INSERT", {**staging._INSERT, **small, "max_threads": 1})
    calls.reprice("first")
    calls.reprice("second", "0.05")
    after = calls.assert_all_agree()
    assert after[0][3] == Decimal(1)
    calls.client.command("OPTIMIZE TABLE llm_traces FINAL")
    assert calls.assert_all_agree() == after


def test_the_guard_is_held_once_and_while_rows_are_swapped_alone(calls: Any) -> None:
    told: list[str] = []

    @contextmanager
    def guard() -> Iterator[None]:
        told.append("taken")
        yield
        told.append("given back")

    class Telling:
        def __getattr__(self, name: str) -> Any:
            return getattr(calls.client, name)

        def command(self, sql: str, **options: Any) -> Any:
            told.append(sql.split()[0])
            return calls.client.command(sql, **options)

    calls.reprice("guarded", client=Telling(), guard=guard)
    held = told[told.index("taken") + 1 : told.index("given back")]
    assert set(held) == {"ALTER"}, "what takes long has been done before"
    assert told.count("taken") == 1


def test_what_changed_after_it_was_staged_is_staged_anew(calls: Any) -> None:
    """The writer takes a row out of the count, and stores a new one, before the guard is had."""

    @contextmanager
    def late() -> Iterator[None]:
        corrections.correct(
            calls.client,
            "llm_traces",
            correction_id="unbilled",
            where="trace_id = '2'",
            new={"billed": "false"},
            reason="repeats its children",
            actor="test",
        )
        calls.client.command(
            "INSERT INTO llm_traces (tenant_id, model, timestamp, trace_id, span_id, billed, prompt_tokens, "
            "completion_tokens, cost_usd, cost_status, retention_start) "
            "VALUES ('a', 'm', now64(6, 'UTC'), 'new', 's', true, 1, 1, 0.01, 'priced', today())"
        )
        yield

    assert calls.reprice("late", guard=late) == calls.count // 2 + 1
    # One call less, one more.
    assert calls.assert_all_agree()[0][1:4] == (calls.count // 2, calls.count // 2, Decimal("0.6"))
    assert calls.one("SELECT cost_usd, billed FROM llm_traces FINAL WHERE trace_id = '2'") == (
        Decimal("0.03"),
        False,
    )


def test_two_that_make_the_same_correction_make_it_once(calls: Any) -> None:
    @contextmanager
    def overtaken() -> Iterator[None]:
        assert calls.reprice("both") == calls.count // 2
        yield

    assert calls.reprice("both", "0.9", guard=overtaken) == calls.count // 2
    assert calls.assert_all_agree()[0][3] == Decimal("0.6")
    assert calls.staging() == []


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
    calls: Any, table: str, correction_id: str, new: dict[str, str], named: str
) -> None:
    with pytest.raises(corrections.CorrectionError, match=named):
        corrections.correct(
            calls.client, table, correction_id=correction_id, where="1", new=new, reason="", actor="test"
        )
