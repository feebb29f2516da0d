"""How fast a key may send: a token bucket for each, in records.

Held in the process: several collectors allow a key its rate each. A shared bucket would cost every request
a round trip of its own before the one that queues it. The limiters on PyPI count calls in windows of time;
here one call takes as many tokens as it has records, and one that is larger than the burst has to pass as
well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from assay.warehouse.api_keys import ApiKey

# Where no burst is given: what a sender saves up while it is silent.
DEFAULT_BURST_S: Final = 10.0


class RateLimits:
    """The buckets, by key. A new key's is full.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, key: ApiKey) -> int:
        """Whole seconds until the key may send one more record; 0: it may now."""
        bucket = self._bucket(key)
        return 0 if bucket is None else bucket.wait_s(1)

    def take(self, key: ApiKey, records: int) -> int:
        """Take ``records`` tokens, all or none; return whole seconds to wait where there were too few, else
        0.

        A request larger than the burst passes when the bucket is full, and leaves it in debt.
        """
        bucket = self._bucket(key)
        if bucket is None or records == 0:
            return 0
        wait = bucket.wait_s(records)
        if not wait:
            bucket.tokens -= records
        return wait

    def give_back(self, key: ApiKey, records: int) -> None:
        """Return tokens of a request that was not accepted after all."""
        bucket = self._bucket(key)
        if bucket is not None:
            bucket.tokens = min(bucket.burst, bucket.tokens + records)

    def _bucket(self, key: ApiKey) -> _Bucket | None:
        if key.records_per_second is None:
            return None
        rate = key.records_per_second
        burst = float(key.burst or max(1.0, rate * DEFAULT_BURST_S))
        now = self._clock()
        bucket = self._buckets.get(key.key_id)
        if bucket is None or (bucket.rate, bucket.burst) != (rate, burst):
            bucket = self._buckets[key.key_id] = _Bucket(rate, burst, now)
        bucket.fill(now)
        return bucket


class _Bucket:
    __slots__ = ("at", "burst", "rate", "tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = burst
        self.at = now

    def fill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now

    def wait_s(self, records: int) -> int:
        missing = min(float(records), self.burst) - self.tokens
        # Rounding must not make a sender wait for a billionth of a record.
        return math.ceil(missing / self.rate) if missing > 1e-9 else 0
