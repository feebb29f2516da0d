"""A double of OpenAI's embeddings API, spoken to by a real HTTP client over loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def lengths(texts: list[str]) -> list[list[float]]:
    """A vector per text, from which the text can be told."""
    return [[float(len(text)), 1.0] for text in texts]


def answer(texts: list[str], vectors: list[list[float]]) -> dict[str, Any]:
    """As OpenAI answers; last first, because the order is the index's, not the list's."""
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    used = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "data": data[::-1],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


@dataclass
class EmbeddingsApi:
    """The running double: where it is, what it was asked, and with which statuses it answers next."""

    url: str
    requests: list[dict[str, Any]]
    headers: list[dict[str, str]]
    refusals: list[int]
    script: Callable[[list[str]], Any]


@contextmanager
def embeddings_api() -> Iterator[EmbeddingsApi]:
    """A double on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            api.requests.append({"path": self.path, **body})
            api.headers.append({name.lower(): value for name, value in self.headers.items()})
            status = api.refusals.pop(0) if api.refusals else 200
            said = (
                api.script(body["input"])
                if status == 200
                else {"error": {"message": f"scripted {status}", "type": "invalid_request_error"}}
            )
            payload = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Tests read what was asked from ``requests``."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api = EmbeddingsApi(
        f"http://127.0.0.1:{server.server_port}/v1", [], [], [], lambda texts: answer(texts, lengths(texts))
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
