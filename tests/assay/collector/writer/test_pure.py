"""What needs no store: acceptance, identity, packing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.collector.writer import arrow
from assay.collector.writer.acceptance import refusal
from assay.collector.writer.identity import digest
from assay.contracts.records import Contract, Evaluation, ExchangeRate, Incident, Invoice, Label, Record
from tests.support.writing import span

RECEIVED = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def label(at: datetime) -> Label:
    return Label(trace_id="t", rater="r", score=1, timestamp=at)


def contract(valid_to: date | None) -> Contract:
    return Contract(
        contract_id="c",
        kind="credit",
        provider="p",
        amount_usd=Decimal(1),
        valid_from=date(2026, 1, 1),
        valid_to=valid_to,
        source="s",
    )


def incident(end: datetime) -> Incident:
    return Incident(id="i", tenant_id="a", start=RECEIVED, end=end, expected="none")


@pytest.mark.parametrize(
    ("record", "loaded", "field"),
    [
        (span(timestamp=RECEIVED), False, None),
        (span(timestamp=RECEIVED - 7 * DAY), False, None),
        (span(timestamp=RECEIVED - 7 * DAY - timedelta(microseconds=1)), False, "timestamp"),
        (span(timestamp=RECEIVED - 9_000 * DAY), True, None),
        (span(timestamp=datetime(1969, 12, 31, tzinfo=UTC)), True, "timestamp"),
        (span(timestamp=RECEIVED + DAY), False, None),
        (span(timestamp=RECEIVED + DAY + timedelta(seconds=1)), True, "timestamp"),
        (Evaluation(trace_id="t", evaluator="e", score=1, timestamp=RECEIVED - 8 * DAY), False, "timestamp"),
        (label(RECEIVED - 90 * DAY), False, None),
        (incident(RECEIVED), False, None),
        (incident(datetime(2200, 1, 1, tzinfo=UTC)), True, "end"),
        (
            Invoice(
                provider="p",
                model="m",
                period_start=date(1950, 1, 1),
                period_end=date(2026, 1, 1),
                amount_usd=Decimal(1),
            ),
            True,
            "period_start",
        ),
        (contract(valid_to=None), True, None),
        (contract(valid_to=date(9999, 12, 31)), True, "valid_to"),
        (ExchangeRate(currency="EUR", day=date(1969, 1, 1), rate=Decimal(1), source="s"), True, "day"),
    ],
)
def test_refusal(record: Record, loaded: bool, field: str | None) -> None:
    found = refusal(record, RECEIVED, loaded=loaded)
    assert (found and found[0]) == field
    if found:
        assert f"`{field}`" in found[1]


PARTS = st.lists(st.text(max_size=6), min_size=3, max_size=3)


@given(PARTS, PARTS)
def test_different_parts_have_different_digests(left: list[str], right: list[str]) -> None:
    assert (digest(*left) == digest(*right)) == (left == right)


def test_moving_a_boundary_changes_the_digest() -> None:
    assert digest("a", "bc") != digest("ab", "c")
    assert digest("1:a", "") != digest("", "1:a")


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_money_from_pico_dollars(values: list[int | None]) -> None:
    pico = np.array([value or 0 for value in values], np.int64)
    known = np.array([value is not None for value in values], np.bool_)
    assert arrow.pico_usd(pico, known).to_pylist() == [
        None if value is None else Decimal(value).scaleb(-12) for value in values
    ]


@given(st.lists(st.tuples(st.integers(0, 2**52), st.integers(-840, 840))))
def test_microseconds_are_exact(given_moments: list[tuple[int, int]]) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moments = [
        (epoch + timedelta(microseconds=micros)).astimezone(timezone(timedelta(minutes=offset)))
        for micros, offset in given_moments
    ]
    assert arrow.microseconds(moments).tolist() == [micros for micros, _ in given_moments]


def test_a_block_is_one_record_batch() -> None:
    table = pa.concat_tables([pa.table({"a": ["x"]}), pa.table({"a": ["y"]})])
    with pa.ipc.open_stream(arrow.stream(table)) as reader:
        assert [batch.num_rows for batch in reader] == [2]
