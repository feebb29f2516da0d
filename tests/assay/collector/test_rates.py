"""Token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assay.collector.rates import RateLimits
from assay.warehouse.api_keys import ApiKey


def key(rate: float | None, burst: int | None = None, key_id: str = "k") -> ApiKey:
    return ApiKey(key_id, "name", "", None, frozenset({"write"}), records_per_second=rate, burst=burst)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_all_or_none_and_how_long_to_wait() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    limited = key(10, 50)
    assert limits.take(limited, 30) == 0
    assert limits.take(limited, 30) == 1
    assert limits.take(limited, 20) == 0
    assert limits.wait_s(limited) == 1
    assert limits.take(limited, 45) == 5
    clock.now += 4.5
    assert limits.take(limited, 45) == 0
    limits.give_back(limited, 45)
    assert limits.take(limited, 45) == 0


def test_a_request_larger_than_the_burst_passes_and_is_paid_for() -> None:
    clock = Clock()
    limits = RateLimits(clock)
    limited = key(10, 50)
    assert limits.take(limited, 500) == 0
    assert limits.wait_s(limited) == 46
    clock.now += 46
    assert limits.wait_s(limited) == 0
    assert limits.take(limited, 500) == 4


def test_keys_without_a_limit_and_keys_of_their_own() -> None:
    limits = RateLimits(Clock())
    assert limits.take(key(None), 10**9) == 0
    assert limits.take(key(1, 1, "a"), 1) == 0
    assert limits.take(key(1, 1, "a"), 1) == 1
    assert limits.take(key(1, 1, "b"), 1) == 0
    # A changed limit counts from the next request on.
    assert limits.take(key(100, 100, "a"), 100) == 0
    # Ten seconds' worth, and at least one record.
    assert limits.take(key(3, None, "c"), 30) == 0
    assert limits.take(key(0.01, None, "d"), 1) == 0


@given(
    st.floats(0.1, 1e4),
    st.integers(1, 10_000),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 20_000)), max_size=50),
)
def test_never_more_than_the_rate_allows(rate: float, burst: int, requests: list[tuple[float, int]]) -> None:
    clock = Clock()
    limits = RateLimits(clock)
    limited = key(rate, burst)
    passed = largest = 0
    for pause, records in requests:
        clock.now += pause
        wait = limits.take(limited, records)
        if not wait:
            passed += records
            largest = max(largest, records)
        else:
            # Who waits as long as told gets through.
            clock.now += wait
            assert limits.take(limited, records) == 0
            passed += records
            largest = max(largest, records)
        assert passed <= max(burst, largest) + rate * (clock.now - 100) + 1e-3
