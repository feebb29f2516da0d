"""Equal at every moment, and exactly once whenever it is cut off."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from assay.warehouse import corrections, retention
from assay.warehouse.corrections import staging

MOVE = " MOVE PARTITION "
RECORD = "INSERT INTO corrections"


class Statements:
    """A client that tells of statements that change something, before they are sent and when answered."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def before(self, sql: str) -> None:
        pass

    def after(self, sql: str) -> None:
        pass

    def command(self, sql: str, **options: Any) -> Any:
        self.before(sql)
        done = self._client.command(sql, **options)
        self.after(sql)
        return done

    def insert(self, table: str, *args: Any, **options: Any) -> Any:
        self.before(f"INSERT INTO {table}")
        done = self._client.insert(table, *args, **options)
        self.after(f"INSERT INTO {table}")
        return done


class Dying(Statements):
    """Its server goes at a statement after rows are staged: before it arrives, or before its answer."""

    def __init__(self, client: Any, at: int, *, arrives: bool) -> None:
        super().__init__(client)
        self._at, self._arrives = at, arrives
        self._sent = 0

    def before(self, sql: str) -> None:
        self._sent += self._sent > 0 or sql == RECORD
        if self._sent == self._at and not self._arrives:
            raise ConnectionError(sql)

    def after(self, sql: str) -> None:
        if self._sent == self._at:
            raise ConnectionError(sql)


def test_nothing_differs_until_the_first_move_and_after_the_last(calls: Any) -> None:
    """And between the two nothing else is done."""
    sent: list[str] = []
    before = calls.assert_all_agree()

    class Watched(Statements):
        def before(self, sql: str) -> None:
            sent.append(sql)
            if not any(MOVE in earlier for earlier in sent):
                assert calls.assert_all_agree() == before, sql

    calls.reprice("watched", client=Watched(calls.client))
    moves = [number for number, sql in enumerate(sent) if MOVE in sql]
    assert moves == list(range(moves[0], moves[-1] + 1))
    assert calls.assert_all_agree()[0][3] == Decimal("0.6")


def test_partitions_of_one_month_are_moved_side_by_side(calls: Any) -> None:
    calls.client.command(
        "INSERT INTO llm_traces (tenant_id, model, timestamp, trace_id, span_id, billed, cost_usd, "
        "cost_status, retention_start) SELECT 'a', 'm', now64(6, 'UTC') - toIntervalDay(40), "
        "'older', 's', true, toDecimal128('0.01', 12), 'priced', today()"
    )
    moved: list[str] = []

    class Watched(Statements):
        def before(self, sql: str) -> None:
            if MOVE in sql:
                moved.append(sql.split(MOVE)[1].split("'")[1][:6])

    calls.reprice("months", client=Watched(calls.client))
    assert moved == sorted(moved)
    assert len(set(moved)) >= 2
    calls.assert_all_agree()


@pytest.mark.parametrize("arrives", [False, True])
def test_cut_off_at_any_statement(calls: Any, arrives: bool) -> None:
    """Finished by whoever comes next once it is on record, and otherwise as if it had never begun."""
    dropping = False
    for at in count(1):
        price = Decimal(at) / 100
        before = calls.assert_all_agree()
        with pytest.raises(ConnectionError) as cut:
            calls.reprice(f"cut_{at}", str(price), Dying(calls.client, at, arrives=arrives))
        dropping = "DROP TABLE" in str(cut.value)
        on_record = at > 1 or arrives
        is_done = dropping or (RECORD in str(cut.value) and at > 1 and arrives)
        assert corrections.resume(calls.client) == ([f"cut_{at}"] if on_record and not is_done else [])
        expected = calls.count // 2 * price
        assert calls.assert_all_agree()[0][3] == (expected if on_record else before[0][3]), cut
        assert calls.reprice(f"cut_{at}", str(price)) == calls.count // 2
        assert calls.assert_all_agree()[0][3] == expected, cut
        if dropping:
            break
    # What was never on record may be somebody's who is still at it.
    assert len({name.split("~")[0] for name in calls.staging()}) == (0 if arrives else 1)
    # The record, the raw table, the index and four rollups at the least.
    assert at > 7


def test_killed_within_a_move(calls: Any) -> None:
    """The store finds the part in both tables when it starts again: it is taken once, merged or not."""
    for at in count(1):
        merged = at % 2 == 1

        class Killed(Statements):
            left = at

            def before(self, sql: str, merged: bool = merged) -> None:
                self.left -= MOVE in sql
                if self.left == 0:
                    # On disk what the store leaves when it is killed after the part's arrival.
                    source, rest = sql.removeprefix("ALTER TABLE ").split(MOVE)
                    partition, target = rest.removeprefix("ID ").split(" TO TABLE ")
                    self._client.command(
                        f"ALTER TABLE {target} ATTACH PARTITION ID {partition} FROM {source}"
                    )
                    if merged:
                        self._client.command(f"OPTIMIZE TABLE {target} PARTITION ID {partition} FINAL")
                    raise ConnectionError(sql)

        price = f"{Decimal(at) / 100}"
        try:
            calls.reprice(f"killed_{at}", price, Killed(calls.client))
        except ConnectionError:
            assert corrections.resume(calls.client) == [f"killed_{at}"]
        else:
            break
        assert calls.assert_all_agree()[0][3] == calls.count // 2 * Decimal(price)
        assert calls.staging() == []
    assert at >= 6


def test_what_was_altered_before_it_is_finished(calls: Any) -> None:
    """By a migration, a new column of a rollup, a retention file: cut off before any move, and after each."""
    alterations = {
        "llm_traces": "ADD COLUMN IF NOT EXISTS note_{n} String DEFAULT 'none'",
        "llm_kpi_1h": "ADD COLUMN IF NOT EXISTS extra_{n} SimpleAggregateFunction(sum, Int64) AFTER cost_usd",
        "llm_kpi_1d": "MODIFY COLUMN request_count SimpleAggregateFunction(sum, Int64) COMMENT 'calls {n}'",
        "llm_spend_15min": "ADD INDEX IF NOT EXISTS i_{n} cost_usd TYPE minmax",
    }
    for at in count(2):
        price = f"{Decimal(at) / 100}"
        try:
            calls.reprice(f"altered_{at}", price, Dying(calls.client, at, arrives=False))
        except ConnectionError as cut:
            is_done = MOVE not in str(cut)
        for table, alteration in alterations.items():
            calls.client.command(f"ALTER TABLE {table} {alteration.format(n=at)}")
        if at == 2:
            assert "llm_traces" in retention.apply(calls.client, retention.load(None))
        corrections.resume(calls.client)
        assert calls.assert_all_agree()[0][3] == calls.count // 2 * Decimal(price)
        assert calls.staging() == []
        if is_done:
            break
    assert at > 7
    assert calls.one("SELECT DISTINCT note_2 FROM llm_traces FINAL") == ("none",)


def test_resumed_by_two_it_is_done_once(calls: Any) -> None:
    """The one whose lease ran out finds what it wanted to move gone."""

    class Overtaken(Statements):
        done = False

        def after(self, sql: str) -> None:
            if MOVE in sql and not self.done:
                self.done = True
                assert corrections.resume(calls.client) == ["both"]

    assert calls.reprice("both", client=Overtaken(calls.client)) == calls.count // 2
    assert calls.assert_all_agree()[0][3] == Decimal("0.6")
    assert calls.one("SELECT countIf(event = 'applied') FROM corrections") == (1,)


def test_what_died_while_it_staged_rows_is_dropped_a_day_later(calls: Any) -> None:
    class Dead(Statements):
        def before(self, sql: str) -> None:
            if sql.startswith("INSERT INTO `"):
                raise ConnectionError

    with pytest.raises(ConnectionError):
        calls.reprice("cut", client=Dead(calls.client))
    left = calls.staging()
    assert left
    assert corrections.resume(calls.client) == []
    assert calls.staging() == left, "somebody may still be at it"
    staging.drop_left_over(calls.client, after_s=0)
    assert calls.staging() == []
