"""A place for chat notifications to arrive: Slack's incoming webhook, with nothing behind it but a page.

``python -m assay.simulator.webhook_sink --port 18090``. POST a message to any path, as Slack's client does;
``GET /messages`` gives what came as JSON, ``GET /`` as a page.
"""

from __future__ import annotations

import argparse
import html
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from assay.settings import load_settings

_KEPT: Final = 500
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>Simulated chat channel</title><meta http-equiv="refresh" content="5"><style>
body{{font:16px/1.5 system-ui;margin:2rem auto;max-width:50rem;padding:0 1rem}}time{{color:#555}}
article{{border-left:4px solid #b3261e;padding:.5rem 1rem;margin:1rem 0;background:#f6f6f6}}
article{{white-space:pre-wrap;overflow-wrap:anywhere}}
</style></head><body><main><h1>Simulated chat channel</h1>
<p>What a Slack channel would have received from Assay, newest first.</p>{messages}</main></body></html>"""


def create_app() -> Starlette:
    """The service. It keeps the newest 500 messages in memory."""
    kept: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    async def receive(request: Request) -> Response:
        # Slack answers these words, and clients check them.
        try:
            message = msgspec.json.decode(await request.body())
        except msgspec.DecodeError:
            return PlainTextResponse("invalid_payload", 400)
        if not isinstance(message, dict):
            return PlainTextResponse("invalid_payload", 400)
        if not message.get("text") and not message.get("blocks") and not message.get("attachments"):
            return PlainTextResponse("no_text", 400)
        kept.append(
            {"received_at": datetime.now(UTC).isoformat(), "path": request.url.path, "message": message}
        )
        return PlainTextResponse("ok")

    async def messages(_: Request) -> Response:
        return JSONResponse({"messages": list(kept)})

    async def page(_: Request) -> Response:
        parts = [
            f"<article><time>{html.escape(m['received_at'])}</time>\n{html.escape(_text(m['message']))}</article>"
            for m in reversed(kept)
        ]
        return HTMLResponse(_PAGE.format(messages="".join(parts) or "<p>Nothing yet.</p>"))

    return Starlette(
        routes=[
            Route("/", page, methods=["GET"]),
            Route("/messages", messages, methods=["GET"]),
            Route("/{path:path}", receive, methods=["POST"]),
        ]
    )


def _text(message: dict[str, Any]) -> str:
    """Every text of a message, in order, once each."""
    found: list[str] = []

    def collect(part: Any) -> None:
        if isinstance(part, dict):
            for key, value in part.items():
                if key in ("text", "fallback", "title") and isinstance(value, str):
                    found.append(value)
                else:
                    collect(value)
        elif isinstance(part, list):
            for item in part:
                collect(item)

    collect(message)
    return "\n".join(dict.fromkeys(found))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    settings = load_settings()
    parser = argparse.ArgumentParser(prog="assay.simulator.webhook_sink", description=__doc__)
    parser.add_argument("--host", default=settings.host)
    parser.add_argument("--port", type=int, default=settings.webhook_sink_port)
    options = parser.parse_args(argv)
    uvicorn.run(create_app(), host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
