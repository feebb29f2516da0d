"""Request bodies of new spans, made so cheaply that sending them takes nothing from what is measured.

A body is written once, with ids and times of a fixed width; each sending gets others in their place.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.writer import spans
from tests.support.span_bodies import otlp_body

Protocol = Literal["native", "otlp"]
PATHS: dict[str, tuple[str, str]] = {
    "native": ("/v1/spans", "application/json"),
    "otlp": ("/v1/traces", "application/x-protobuf"),
}
_MICROSECOND_DIGITS = 6


class Template:
    """A request body of one protocol.

    Args:
        protocol: how it is written.
        count: spans in it.
        seed: of their content.
        tenant: of all spans; else of twenty.
    """

    def __init__(self, protocol: Protocol, count: int, seed: int, tenant: str = "") -> None:
        self.protocol = protocol
        self.count = count
        # A time in microseconds of the same width as every later one.
        moment = datetime.now(UTC).replace(microsecond=123_456)
        made = spans(count, seed)
        for number, span in enumerate(made):
            span.trace_id = f"feedface{number:024x}"
            span.timestamp = moment
            span.tenant_id = tenant or span.tenant_id
        body = msgspec.json.encode(made) if protocol == "native" else otlp_body(made)
        self._body = np.frombuffer(body, np.uint8)
        ids = [s.trace_id.encode() if protocol == "native" else bytes.fromhex(s.trace_id) for s in made]
        self._ids = _positions(body, ids)
        if protocol == "native":
            self._times = _positions(body, [moment.isoformat().replace("+00:00", "Z").encode()] * count)
        else:
            start_ns = int(moment.timestamp()) * 10**9 + 123_456_000
            self._times = _positions(body, [start_ns.to_bytes(8, "little")] * count)
            # The end is the next field: one byte says so, and eight follow.
            self._ends = self._times + 9
            self._lengths = np.array([int((span.latency_ms or 0) * 1e6) for span in made], "<i8")

    def render(self) -> bytes:
        """The body with ids that were never sent and times of this second."""
        body = self._body.copy()
        fresh = secrets.token_bytes(16 * self.count)
        if self.protocol == "native":
            body[self._ids] = np.frombuffer(fresh.hex().encode(), np.uint8).reshape(self.count, 32)
            text = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.").encode()
            body[self._times[:, : len(text)]] = np.frombuffer(text, np.uint8)
            digits = np.frombuffer(fresh, np.uint8).reshape(self.count, 16)[:, :_MICROSECOND_DIGITS] % 10 + 48
            body[self._times[:, len(text) : len(text) + _MICROSECOND_DIGITS]] = digits
        else:
            body[self._ids] = np.frombuffer(fresh, np.uint8).reshape(self.count, 16)
            now = time.time_ns() + np.arange(self.count, dtype="<i8") * 1_000
            body[self._times] = now.view(np.uint8).reshape(self.count, 8)
            body[self._ends] = (now + self._lengths).view(np.uint8).reshape(self.count, 8)
        return body.tobytes()


def _positions(body: bytes, marks: list[bytes]) -> NDArray[np.intp]:
    """Where each byte of each mark is, the marks in the order of the body."""
    found = []
    at = -1
    for mark in marks:
        at = body.index(mark, at + 1)
        found.append(at)
    return np.array(found, np.intp)[:, None] + np.arange(len(marks[0]))
