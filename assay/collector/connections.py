"""uvicorn's HTTP protocol with a limit on how long a sender may take over a request's head.

uvicorn has a timeout for idle connections alone: one that sends a header's byte now and then stays open for
ever, and enough of those shut everybody else out.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class PatientProtocol(HttpToolsProtocol):
    """Closes connections whose head does not arrive in time, and those that go on sending the body of a
    request that was answered already. (While a body is awaited, :func:`assay.collector.body.read` has the
    clock.)

    Attributes:
        timeout_s: for either.
    """

    timeout_s: ClassVar[float] = 30.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start_clock()

    def on_headers_complete(self) -> None:
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_clock()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.cycle.more_body:
            self._start_clock()
        super().on_response_complete()

    def _start_clock(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.timeout_s, self._give_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            # The next request came in halfway behind one that is still being answered.
            self._start_clock()
        elif not self.transport.is_closing():
            self.transport.close()


def patient(timeout_s: float) -> type[PatientProtocol]:
    """The protocol with a timeout of its own: uvicorn makes the instances itself."""
    attributes: dict[str, Any] = {"timeout_s": timeout_s}
    return type("PatientProtocol", (PatientProtocol,), attributes)
