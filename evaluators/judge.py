"""One judgement by a model: the request, its strict answer, and what it cost in tokens.

The model's instructions are a file, ``judges/<evaluator>/<version>.txt``. The exchange goes as one JSON
object in the user's turn: text inside a JSON string cannot pose as instructions around it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Annotated, Final, Literal

import anthropic
import msgspec
from anthropic.types import Message, MessageParam
from msgspec import Meta, Struct

from assay.settings import Settings

Verdict = Literal["good", "partial", "poor", "unknown"]

# The answer is three short fields. A reason that needs more tokens than this is not one or two sentences.
_MAX_TOKENS: Final = 400
# The client waits between attempts (exponentially, or as long as the provider says) on 408, 409, 429, 5xx and
# 529.
_RETRIES: Final = 3
# Longer texts are shown without their middle: the beginning holds the instructions, the end the question and,
# in an answer, the place where it was cut off. 40,000 characters are about 10,000 tokens.
_LONGEST: Final = 40_000
_NAME: Final = re.compile(r"^[a-z0-9][a-z0-9._-]*$")

_SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "verdict": {"type": "string", "enum": ["good", "partial", "poor", "unknown"]},
        "score": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    },
    "required": ["reason", "verdict", "score"],
    "additionalProperties": False,
}


class TemplateError(ValueError):
    """There is no judge of that name and version."""


class Exchange(Struct, frozen=True, omit_defaults=True):
    """What the judge is shown."""

    question: str
    answer: str
    documents: list[str] = []
    task: str = ""


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """What a judge has to answer. A score stands with every verdict but ``unknown``, and never with that."""

    reason: str
    verdict: Verdict
    score: Annotated[float, Meta(ge=0, le=1)] | None

    def __post_init__(self) -> None:
        if (self.verdict == "unknown") != (self.score is None):
            raise ValueError("`score` must be null exactly where `verdict` is `unknown`")


@dataclass(frozen=True)
class Call:
    """One call of the judge's model that was answered, as it is metered.

    Attributes:
        prompt: tokens, cached and cache-write ones included; completion, cached, cache_write: tokens.
        latency_ms: wall clock, the client's own retries included.
    """

    message_id: str
    at: datetime
    model: str
    response_model: str
    prompt: int
    completion: int
    cached: int | None
    cache_write: int | None
    latency_ms: float
    finish_reason: str


@dataclass(frozen=True)
class Judgement:
    """One opinion. ``answer`` None: none that could be read, and ``fault`` says why."""

    answer: Answer | None
    fault: str = ""


Meter = Callable[[Call], Awaitable[None]]


class Judge:
    """Asks the judge's model through the Anthropic Messages API.

    Args:
        client: of the provider; the caller closes it.
        model: the judge's model.
        instructions: text of the judge's template.
    """

    def __init__(self, client: anthropic.AsyncAnthropic, model: str, instructions: str) -> None:
        self._client = client
        self.model = model
        self._instructions = instructions

    async def ask(self, exchange: Exchange, meter: Meter) -> Judgement:
        """One opinion of an exchange. An answer that is not what was asked for is asked for once more.

        Args:
            exchange: what to judge.
            meter: told of each call as soon as it was answered, whether or not the answer is of use.

        Raises:
            anthropic.APIError: the provider was not reached, was busy, or refused the request, after retries.
        """
        asked: list[MessageParam] = [{"role": "user", "content": material(exchange)}]
        turns = asked
        for _ in range(2):
            began, at = time.perf_counter(), datetime.now(UTC)
            message = await self._client.messages.create(
                model=self.model,
                max_tokens=_MAX_TOKENS,
                system=self._instructions,
                messages=turns,
                output_config={"format": {"type": "json_schema", "schema": _SCHEMA}},
            )
            await meter(_metered(message, self.model, at, (time.perf_counter() - began) * 1000))
            if message.stop_reason == "refusal":
                return Judgement(None, "refused")
            text = "".join(block.text for block in message.content if block.type == "text")
            try:
                return Judgement(parse(text))
            except ValueError as error:
                turns = [*asked, *_correction(text, error)]
        return Judgement(None, "malformed")


def connect(settings: Settings) -> anthropic.AsyncAnthropic:
    """The provider's client.

    Raises:
        ValueError: no key is set.
    """
    if settings.anthropic_api_key is None:
        raise ValueError("ANTHROPIC_API_KEY is not set: there is no judge without it")
    return anthropic.AsyncAnthropic(
        api_key=settings.anthropic_api_key.get_secret_value(),
        base_url=settings.anthropic_base_url,
        timeout=settings.judge_timeout_s,
        max_retries=_RETRIES,
    )


def template(evaluator: str, version: str) -> str:
    """The instructions of a judge.

    Raises:
        TemplateError: naming what there is.
    """
    folder = resources.files("evaluators") / "judges" / evaluator
    found = sorted(f.name.removesuffix(".txt") for f in folder.iterdir()) if folder.is_dir() else []
    if not _NAME.match(evaluator) or version not in found:
        raise TemplateError(f"no judge {evaluator}/{version}; its versions are: {', '.join(found) or 'none'}")
    return (folder / f"{version}.txt").read_text(encoding="utf-8")


def material(exchange: Exchange) -> str:
    """The user's turn: the exchange as JSON, long texts without their middle."""
    shown = Exchange(
        task=exchange.task,
        question=shortened(exchange.question, _LONGEST),
        documents=_shortened_all(exchange.documents, _LONGEST),
        answer=shortened(exchange.answer, _LONGEST),
    )
    return msgspec.json.encode(shown).decode()


def shortened(text: str, longest: int) -> str:
    """The text, or its two ends with a note of how many characters were left out between them."""
    if len(text) <= longest:
        return text
    kept = longest // 2
    return f"{text[:kept]}\n[… {len(text) - 2 * kept} characters left out …]\n{text[-kept:]}"


def parse(text: str) -> Answer:
    """The judge's answer.

    Raises:
        ValueError: it is not the JSON object that was asked for; says why.
    """
    try:
        return msgspec.json.decode(text.strip(), type=Answer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _shortened_all(documents: Sequence[str], longest: int) -> list[str]:
    # Every document keeps the same share: dropping the last ones would make what rests on them look
    # unsupported.
    total = sum(map(len, documents))
    if total <= longest:
        return list(documents)
    return [shortened(text, max(200, longest * len(text) // total)) for text in documents]


def _correction(text: str, error: ValueError) -> list[MessageParam]:
    # The API refuses an empty turn; what was empty is simply asked for again.
    if not text.strip():
        return []
    return [
        {"role": "assistant", "content": text},
        {
            "role": "user",
            "content": f"That was not the JSON object that was asked for ({error}). Answer with it alone.",
        },
    ]


def _metered(message: Message, model: str, at: datetime, latency_ms: float) -> Call:
    usage = message.usage
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    return Call(
        message_id=message.id,
        at=at,
        model=model,
        response_model=message.model,
        # Anthropic counts cache reads and writes beside `input_tokens`.
        prompt=usage.input_tokens + (cached or 0) + (written or 0),
        completion=usage.output_tokens,
        cached=cached,
        cache_write=written,
        latency_ms=latency_ms,
        finish_reason=message.stop_reason or "",
    )
