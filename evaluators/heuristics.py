"""Checks that need no model: what an answer's text alone gives away.

Three levels, because a check sees that something is wrong, not how wrong: 0 where the answer cannot be used,
0.5 where it may be incomplete or no answer at all, 1 where nothing was found. NULL where there is no text to
look at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

_UNUSABLE: Final = 0.0
_DOUBTFUL: Final = 0.5
_FINE: Final = 1.0

# Names that providers give to a stop at the token limit: Anthropic, OpenAI, Gemini, Bedrock, OpenAI
# Responses.
_CUT_OFF: Final = frozenset({"max_tokens", "length", "max_output_tokens", "model_context_window_exceeded"})
# … and to an answer that consists of calls of tools: no text is expected then.
_TOOLS: Final = frozenset({"tool_use", "tool_calls", "function_call"})
_SAYS_JSON: Final = re.compile(r"(?:^|[^a-z])json(?:[^a-z]|$)", re.IGNORECASE)
_FENCED: Final = re.compile(r"^```(?:json)?[ \t]*\n(.*)\n```$", re.DOTALL | re.IGNORECASE)
# The stock phrases of refusals. They stand at the beginning: a refusal further down belongs to an answer.
_REFUSAL: Final = re.compile(
    r"^\W*(?:(?:i['’]?m|i am) (?:very |really |so )?sorry,? (?:but )?(?:i )?(?:can|am|could|won|do)"
    r"|(?:sorry|unfortunately|apologies),? (?:but )?i (?:can['’]?t|cannot|am unable|['’]?m unable|won['’]?t)"
    r"|i (?:can['’]?t|cannot|am unable to|['’]?m unable to|won['’]?t|am not able to|['’]?m not able to)"
    r" (?:help|assist|comply|fulfil|provide|answer|do that|support|create|generate|discuss|engage)"
    r"|i['’]m (?:unable|not able) to (?:help|assist|comply|fulfil|provide|answer|support|create|generate)"
    r"|as an? (?:ai|language model|large language model)\b[^.]{0,80}"
    r"\bi (?:can['’]?t|cannot|am unable|don['’]?t))",
    re.IGNORECASE,
)
# A word, or one character of a script that writes without spaces.
_UNSPACED: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f"
_WORD: Final = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
# A loop is what an answer ends in: at least four copies of the same words, and long enough not to be
# emphasis.
_LOOP_TAIL_CHARACTERS: Final = 4_000
_LOOP_LONGEST_UNIT: Final = 60
_LOOP_COPIES: Final = 4
_LOOP_FEWEST_WORDS: Final = 16
# Shorter prompts are repeated by good answers, too ("Yes?" "Yes.").
_ECHO_FEWEST_CHARACTERS: Final = 24


@dataclass(frozen=True)
class Exchange:
    """What was asked and answered, as captured.

    Attributes:
        question: the prompt; answer: the text that came back.
        completion_tokens: that were billed. finish_reason: as the provider named it.
        prompt_template_version, task_type: which say whether JSON was asked for.
    """

    question: str
    answer: str
    completion_tokens: int = 1
    finish_reason: str = ""
    prompt_template_version: str = ""
    task_type: str = ""


@dataclass(frozen=True)
class Finding:
    """The worst that was found; ``score`` None where there was no text to look at."""

    score: float | None
    verdict: str


def assess(exchange: Exchange) -> Finding:
    """The worst that the checks find in an answer."""
    answer = exchange.answer.strip()
    if not answer:
        # Tokens were billed and no text was captured: tool calls, or a source that does not send text.
        told = exchange.completion_tokens == 0 and exchange.finish_reason.lower() not in _TOOLS
        return Finding(_UNUSABLE, "empty") if told else Finding(None, "no_text")
    if expects_json(exchange) and not is_json(answer):
        return Finding(_UNUSABLE, "invalid_json")
    if ends_in_loop(answer):
        return Finding(_UNUSABLE, "repetition")
    if repeats_prompt(exchange.question, answer):
        return Finding(_UNUSABLE, "copy_of_prompt")
    if exchange.finish_reason.lower() in _CUT_OFF:
        return Finding(_DOUBTFUL, "truncated")
    if is_refusal(answer):
        return Finding(_DOUBTFUL, "refusal")
    return Finding(_FINE, "no_finding")


def expects_json(exchange: Exchange) -> bool:
    """Whether the name of the template or of the task says that the answer is JSON."""
    return bool(_SAYS_JSON.search(exchange.prompt_template_version) or _SAYS_JSON.search(exchange.task_type))


def is_json(answer: str) -> bool:
    """Whether the text is one JSON value, bare or in a Markdown fence."""
    text = answer.strip()
    fenced = _FENCED.match(text)
    try:
        msgspec.json.decode(fenced[1] if fenced else text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return True


def is_refusal(answer: str) -> bool:
    """Whether the text begins with a stock phrase of refusal (English)."""
    return _REFUSAL.match(answer) is not None


def repeats_prompt(question: str, answer: str) -> bool:
    """Whether the answer begins with the whole prompt, letter by letter but for case and spacing."""
    prompt = " ".join(question.casefold().split())
    return len(prompt) >= _ECHO_FEWEST_CHARACTERS and " ".join(answer.casefold().split()).startswith(prompt)


def ends_in_loop(answer: str) -> bool:
    """Whether the text ends in the same words over and over, as a model that runs on to its token limit
    does."""
    # The last word may be cut off in the middle.
    words = _WORD.findall(answer[-_LOOP_TAIL_CHARACTERS:].casefold())[:-1]
    if len(words) < _LOOP_FEWEST_WORDS:
        return False
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(word, len(numbers)) for word in words])
    for unit in range(1, min(_LOOP_LONGEST_UNIT, len(ids) // _LOOP_COPIES) + 1):
        differs = np.flatnonzero(ids[unit:] != ids[:-unit])
        run = len(ids) - unit - (int(differs[-1]) + 1 if len(differs) else 0)
        if run >= (_LOOP_COPIES - 1) * unit and run + unit >= _LOOP_FEWEST_WORDS:
            return True
    return False
