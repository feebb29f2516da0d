from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.dashboard import format

WRITERS = [
    format.money,
    format.count,
    format.percent,
    format.milliseconds,
    format.score,
    format.rate,
]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "$0"),
        (Decimal("0.000000000001"), "<$0.000000001"),
        (0.00000123, "$0.0000012"),
        (Decimal("0.00471"), "$0.0047"),
        (0.0996, "$0.10"),
        (0.19, "$0.19"),
        (0.994, "$0.99"),
        (0.999, "$1.00"),
        (12.344, "$12.34"),
        (999.99, "$999.99"),
        (999.999, "$1.00k"),
        (1234, "$1.23k"),
        (999_999, "$1.00M"),
        (45_600_000, "$45.6M"),
        (-3.5, "-$3.50"),
    ],
)
def test_money(value: float, text: str) -> None:
    assert format.money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (987, "987"), (12345, "12,345"), (99_999, "99,999"), (100_000, "100k"), (1_234_567, "1.23M")],
)
def test_count(value: int, text: str) -> None:
    assert format.count(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.283, "28.3%"),
        (0.0004, "0.04%"),
        (0.00001, "<0.01%"),
        (0.99999, ">99.9%"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert format.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.21, "3.2 ms"), (843.4, "843 ms"), (1843, "1.84 s"), (59_990, "59.99 s"), (125_000, "2 min 5 s")],
)
def test_milliseconds(value: float, text: str) -> None:
    assert format.milliseconds(value) == text


@pytest.mark.parametrize(
    ("relative", "text"),
    [(0.12, "+12%"), (-0.034, "−3.4%"), (0.0001, "±0%"), (13, "×14"), (-1, "−100%")],
)
def test_signed_percent(relative: float, text: str) -> None:
    assert format.signed_percent(relative) == text


@pytest.mark.parametrize(
    ("elapsed", "text"),
    [
        (timedelta(seconds=20), "under 1 min"),
        (timedelta(minutes=14), "14 min"),
        (timedelta(hours=3, minutes=5), "3 h 5 min"),
        (timedelta(hours=4), "4 h"),
        (timedelta(days=2, hours=4), "2 d 4 h"),
    ],
)
def test_age(elapsed: timedelta, text: str) -> None:
    assert format.age(elapsed) == text


def test_moment() -> None:
    assert format.moment(datetime(2026, 1, 5, 9, 3, tzinfo=UTC)) == "05 Jan 2026 09:03"


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("unknown", [None, float("nan"), float("inf"), Decimal("NaN")])
def test_unknown_is_never_a_figure(write: Callable[[object], str | None], unknown: object) -> None:
    assert write(unknown) is None


@pytest.mark.parametrize(
    ("current", "previous", "relative"),
    [(3, 2, 0.5), (0, 2, -1.0), (2, 0, None), (None, 2, None), (2, None, None), (2, float("nan"), None)],
)
def test_change(current: float | None, previous: float | None, relative: float | None) -> None:
    assert format.change(current, previous) == relative


@given(st.floats(min_value=1e-9, max_value=1e14))
def test_money_says_the_amount(amount: float) -> None:
    text = format.money(amount)
    assert text is not None
    scale = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1], 1.0)
    said = float(text.strip("$kMBT").replace(",", "")) * scale
    # Two significant digits below a dollar, cents or three digits above.
    assert said == pytest.approx(amount, rel=0.051 if amount < 1 else 0.006)
