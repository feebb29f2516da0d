"""A scripted double of the Anthropic Messages API, spoken to by the real client over loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer: a text with usage, or an error status."""

    text: str = ""
    status: int = 200
    stop_reason: str = "end_turn"
    delay_s: float = 0.0
    retry_after_s: float | None = None
    usage: dict[str, int] = field(default_factory=lambda: {"input_tokens": 1000, "output_tokens": 50})


def verdict(score: float | None, name: str = "good", reason: str = "Supported and complete.") -> Reply:
    """The answer of a judge that keeps to its instructions."""
    return Reply(json.dumps({"reason": reason, "verdict": name, "score": score}))


Script = Callable[[dict[str, Any]], Reply]


@dataclass
class MessagesApi:
    """The running double: where it is, and what it was asked."""

    url: str
    requests: list[dict[str, Any]]
    script: Script

    def answer_with(self, *replies: Reply) -> None:
        """Answer with these in turn, and with the last one from then on."""
        left = list(replies)
        lock = threading.Lock()

        def script(_: dict[str, Any]) -> Reply:
            with lock:
                return left.pop(0) if len(left) > 1 else left[0]

        self.script = script


_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


@contextmanager
def messages_api() -> Iterator[MessagesApi]:
    """A double on a free port, which says ``good`` until it is told otherwise."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            api.requests.append(body)
            reply = api.script(body)
            time.sleep(reply.delay_s)
            self._send(reply, body)

        def _send(self, reply: Reply, body: dict[str, Any]) -> None:
            if reply.status == 200:
                answer: dict[str, Any] = {
                    "id": f"msg_{len(api.requests):06d}_{id(body)}",
                    "type": "message",
                    "role": "assistant",
                    "model": f"{body['model']}-20251001",
                    "content": [{"type": "text", "text": reply.text}] if reply.text else [],
                    "stop_reason": reply.stop_reason,
                    "stop_sequence": None,
                    "usage": reply.usage,
                }
            else:
                error = {"type": _ERRORS[reply.status], "message": f"scripted {reply.status}"}
                answer = {"type": "error", "error": error, "request_id": "req_1"}
            payload = json.dumps(answer).encode()
            try:
                self.send_response(reply.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(payload)))
                if reply.retry_after_s is not None:
                    self.send_header("retry-after-ms", str(int(reply.retry_after_s * 1000)))
                self.end_headers()
                self.wfile.write(payload)
            except (BrokenPipeError, ConnectionResetError):
                # The client gave up on a slow answer, which is what the test wants.
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Tests read what was asked from ``requests``."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api = MessagesApi(f"http://127.0.0.1:{server.server_port}", [], lambda _: verdict(0.9))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
