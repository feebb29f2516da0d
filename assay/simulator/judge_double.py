"""A stand-in for the judge's provider: the Anthropic Messages API, answered by word overlap.

``python -m assay.simulator.judge_double``. ``POST /v1/messages`` takes what the real API takes (text
messages, no streaming) and answers in its shape, errors included; the model it names is :data:`MODEL`, so
that nothing takes its verdicts for a model's. How it judges is in :mod:`assay.simulator.judging`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import uvicorn
import xxhash
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from assay.settings import load_settings
from assay.simulator.judging import assess, verdict_of
from assay.simulator.traffic import JUDGE_NOISE

MODEL: Final = "simulated-judge"
# English text is about four characters a token.
_CHARACTERS_PER_TOKEN: Final = 4
# So many prompts are remembered to tell how often each was judged.
_REMEMBERED: Final = 10_000


class Exchange(NamedTuple):
    """What the judge is asked to look at."""

    question: str
    material: str
    answer: str


class RequestError(ValueError):
    """A request that the API refuses; ``kind`` is the API's name for the error."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


def create_app(*, tokens_per_second: float = 0) -> Starlette:
    """The service.

    Args:
        tokens_per_second: how fast it writes its answers; 0: they are there at once.
    """
    asked: Counter[int] = Counter()

    async def messages(request: Request) -> Response:
        if not (request.headers.get("x-api-key") or request.headers.get("authorization")):
            raise RequestError(401, "authentication_error", "x-api-key header is required")
        body = _checked(await request.body())
        prompt = _prompt(body)
        digest = xxhash.xxh3_64_intdigest(prompt.encode())
        if len(asked) >= _REMEMBERED:
            asked.clear()
        asked[digest] += 1
        message = _message(body, prompt, json.dumps(judge(prompt, asked[digest])))
        if tokens_per_second:
            await asyncio.sleep(message["usage"]["output_tokens"] / tokens_per_second)
        return JSONResponse(message)

    return Starlette(
        routes=[
            Route("/v1/messages", messages, methods=["POST"]),
            Route("/healthz", lambda _: PlainTextResponse("ok\n"), methods=["GET"]),
        ],
        exception_handlers={RequestError: _refused, 404: _unknown, 405: _unknown},
    )


def judge(prompt: str, time: int = 1) -> dict[str, Any]:
    """The verdict on a prompt, as a judge writes it. Another ``time`` differs by a little noise."""
    exchange = find_exchange(prompt)
    if exchange is None:
        return {"reason": "There is no answer to judge.", "verdict": "unknown", "score": None}
    plain = assess(exchange.question, exchange.material, exchange.answer)
    score = min(1.0, max(0.0, round(plain + JUDGE_NOISE * _noise(prompt, time), 2)))
    verdict = verdict_of(score)
    reason = {
        "good": "What the documents say is used, and nothing else is claimed.",
        "partial": "Parts of what the documents say are missing.",
        "poor": "Most statements are not supported by the documents.",
    }[verdict]
    return {"reason": f"Simulated: {reason}", "verdict": verdict, "score": score}


def find_exchange(prompt: str) -> Exchange | None:
    """The exchange in a prompt: the JSON object in it that has an ``answer``; None where there is none."""
    decoder = json.JSONDecoder()
    position = prompt.find("{")
    while position >= 0:
        try:
            found, _ = decoder.raw_decode(prompt, position)
        except json.JSONDecodeError:
            found = None
        if isinstance(found, dict) and isinstance(found.get("answer"), str):
            documents = found.get("documents") or []
            texts = documents if isinstance(documents, list) else [documents]
            # One document is one statement here; without full stops they would run into each other.
            material = "\n".join(text if isinstance(text, str) else json.dumps(text) for text in texts)
            return Exchange(str(found.get("question") or ""), material, found["answer"])
        position = prompt.find("{", position + 1)
    return None


def _noise(prompt: str, time: int) -> float:
    """Roughly normal with σ 1, from the prompt and how often it was judged: twelve uniforms, less six."""
    digest = xxhash.xxh3_128_digest(f"{time}|{prompt}".encode())
    return sum(byte / 255 for byte in digest[:12]) - 6


def _checked(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"The request body is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise _invalid("The request body must be an object")
    for name, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if name not in found:
            raise _invalid(f"{name}: Field required")
        if not isinstance(found[name], kind) or isinstance(found[name], bool):
            raise _invalid(f"{name}: Input should be a valid {kind.__name__}")
    if found["max_tokens"] < 1:
        raise _invalid("max_tokens: Input should be greater than or equal to 1")
    if not found["messages"]:
        raise _invalid("messages: at least one message is required")
    if found.get("stream"):
        raise _invalid("stream: this stand-in does not stream")
    for i, message in enumerate(found["messages"]):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise _invalid(f"messages.{i}.role: Input should be 'user' or 'assistant'")
        if not message.get("content"):
            raise _invalid(f"messages.{i}.content: Field required")
    return found


def _invalid(message: str) -> RequestError:
    return RequestError(400, "invalid_request_error", message)


def _prompt(body: dict[str, Any]) -> str:
    return "\n".join(_text(m["content"]) for m in body["messages"] if m["role"] == "user")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(
        str(block["text"])
        for block in content
        if isinstance(block, dict) and isinstance(block.get("text"), str)
    )


def _message(body: dict[str, Any], prompt: str, text: str) -> dict[str, Any]:
    system = _text(body.get("system") or "")
    return {
        "id": f"msg_simulated_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": (len(system) + len(prompt)) // _CHARACTERS_PER_TOKEN + 1,
            "output_tokens": len(text) // _CHARACTERS_PER_TOKEN + 1,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "service_tier": "standard",
        },
    }


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _error(error.status, error.kind, str(error))


async def _unknown(request: Request, _: Exception) -> Response:
    return _error(404, "not_found_error", f"{request.method} {request.url.path} is not part of this stand-in")


def _error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"type": "error", "error": {"type": kind, "message": message}}, status)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    settings = load_settings()
    parser = argparse.ArgumentParser(prog="assay.simulator.judge_double", description=__doc__)
    parser.add_argument("--host", default=settings.host)
    parser.add_argument("--port", type=int, default=settings.judge_double_port)
    parser.add_argument(
        "--tokens-per-second", type=float, default=0, help="how fast it writes; 0: answers at once"
    )
    options = parser.parse_args(argv)
    app = create_app(tokens_per_second=options.tokens_per_second)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
