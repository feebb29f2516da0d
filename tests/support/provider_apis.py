"""Doubles of the providers' APIs, spoken to by the real clients over loopback.

Every call costs the same: 10,000 prompt tokens, of which 8,000 were read from the cache and 1,000 written to
it, and 1,000 completion tokens, each provider counting in its own way. A prompt with the word "fail" is
answered with 429.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANTHROPIC_USAGE: dict[str, Any] = {
    "input_tokens": 1_000,
    "cache_read_input_tokens": 8_000,
    "cache_creation_input_tokens": 1_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 1_000, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 1_000,
    "service_tier": "standard",
}
OPENAI_USAGE: dict[str, Any] = {
    "prompt_tokens": 10_000,
    "completion_tokens": 1_000,
    "total_tokens": 11_000,
    "prompt_tokens_details": {"cached_tokens": 8_000, "cache_write_tokens": 1_000, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 0},
}
RESPONSES_USAGE: dict[str, Any] = {
    "input_tokens": 10_000,
    "input_tokens_details": {"cached_tokens": 8_000, "cache_write_tokens": 1_000},
    "output_tokens": 1_000,
    "output_tokens_details": {"reasoning_tokens": 200},
    "total_tokens": 11_000,
}
Event = tuple[str, dict[str, Any]]


def anthropic_message(model: str) -> dict[str, Any]:
    """The answer of ``POST /v1/messages``."""
    return {
        "id": f"msg_01{secrets.token_hex(11)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Paris."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": ANTHROPIC_USAGE,
    }


def anthropic_events(model: str) -> list[Event]:
    """The same as a stream: input tokens in the first event, output tokens in the last but one."""
    begun = {**anthropic_message(model), "content": [], "stop_reason": None}
    begun["usage"] = {**ANTHROPIC_USAGE, "output_tokens": 1}
    delta = {"type": "text_delta", "text": "Paris."}
    return [
        ("message_start", {"type": "message_start", "message": begun}),
        (
            "content_block_start",
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
        ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        (
            "message_delta",
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"output_tokens": ANTHROPIC_USAGE["output_tokens"]},
            },
        ),
        ("message_stop", {"type": "message_stop"}),
    ]


def openai_completion(model: str) -> dict[str, Any]:
    """The answer of ``POST /v1/chat/completions``."""
    message = {"role": "assistant", "content": "Paris.", "refusal": None}
    return {
        "id": f"chatcmpl-{secrets.token_hex(15)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": f"{model}-2024-07-18",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": OPENAI_USAGE,
        "service_tier": "default",
    }


def openai_events(model: str) -> list[Event]:
    """The same as a stream, with ``stream_options.include_usage``."""
    head = {key: value for key, value in openai_completion(model).items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"

    def chunk(delta: dict[str, Any], finish_reason: str | None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return "", {**head, "choices": [choice], "usage": None}

    return [
        chunk({"role": "assistant", "content": ""}, None),
        chunk({"content": "Paris."}, None),
        chunk({}, "stop"),
        ("", {**head, "choices": [], "usage": OPENAI_USAGE}),
    ]


def openai_response(model: str) -> dict[str, Any]:
    """The answer of ``POST /v1/responses``."""
    text = {"type": "output_text", "text": "Paris.", "annotations": [], "logprobs": []}
    message = {
        "id": "msg_02",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    return {
        "id": f"resp_{secrets.token_hex(25)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "model": f"{model}-2024-07-18",
        "output": [message],
        "usage": RESPONSES_USAGE,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "service_tier": "default",
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(raw)
        model = body["model"]
        if b"fail" in raw:
            error = {"type": "rate_limit_error", "message": "too many requests", "code": "rate_limited"}
            self._json(429, {"type": "error", "error": error})
        elif self.path.endswith("/messages"):
            if body.get("stream"):
                self._events(anthropic_events(model))
            else:
                self._json(200, anthropic_message(model))
        elif self.path.endswith("/responses"):
            self._json(200, openai_response(model))
        elif body.get("stream"):
            self._events([*openai_events(model), ("", "[DONE]")])  # type: ignore[list-item]
        else:
            self._json(200, openai_completion(model))

    def _json(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _events(self, events: list[Event]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for name, data in events:
            text = data if isinstance(data, str) else json.dumps(data)
            head = f"event: {name}\n" if name else ""
            self.wfile.write(f"{head}data: {text}\n\n".encode())
            self.wfile.flush()
            # So that the first token comes measurably before the last.
            time.sleep(0.02)
        self.close_connection = True


@contextmanager
def provider_apis() -> Iterator[str]:
    """The URL of a running double: Anthropic's API at its root, OpenAI's below ``/v1``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
