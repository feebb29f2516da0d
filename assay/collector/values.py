"""Attribute values: text, numbers and token counts, whichever of its names a field came under."""

from __future__ import annotations

from typing import Final

from assay.collector import genai
from assay.collector.genai import Names
from assay.collector.otlp import Attributes, Value

_MAX_TOKENS: Final = 4_294_967_295


class UnreadableError(Exception):
    """A model call whose attributes contradict the contract."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def usage(attributes: Attributes, resource: Attributes, *, failed: bool = False) -> dict[str, int]:
    """Token counts by the contract: ``prompt`` includes cache reads and writes, ``completion`` reasoning.

    A source that leaves them out is found by its own numbers: more cached than prompt tokens, or a total that
    is the sum of all the parts.
    """
    counts = {field: _count(attributes, field, names) for field, names in genai.TOKENS.items()}
    prompt, completion, total = counts["prompt"], counts["completion"], counts.pop("total")
    if prompt is None and completion is None and not failed:
        raise UnreadableError(
            "tokens",
            "a model call without token usage: set `gen_ai.usage.input_tokens` and "
            "`gen_ai.usage.output_tokens` (OpenAI streams report usage with stream_options.include_usage)",
        )
    prompt, completion = prompt or 0, completion or 0
    cache = (counts["cached"] or 0) + (counts["cache_write"] or 0)
    said = attributes.get(genai.EXCLUDES_CACHE, resource.get(genai.EXCLUDES_CACHE))
    excludes = said in (True, "true") or (
        said is None and cache > 0 and (cache > prompt or total == prompt + cache + completion)
    )
    reasoning = counts["reasoning"] or 0
    if reasoning > completion or (reasoning and total == prompt + completion + reasoning):
        completion += reasoning
    found = {"prompt": prompt + cache if excludes else prompt, "completion": completion}
    return found | {field: n for field, n in counts.items() if n is not None and field not in found}


def _count(attributes: Attributes, field: str, names: Names) -> int | None:
    for name in names:
        value = attributes.get(name)
        if value is None or value == "":
            continue
        count = _whole(value)
        if count is None or not 0 <= count <= _MAX_TOKENS:
            raise UnreadableError(f"tokens.{field}", f"`{name}` = {str(value)[:64]!r} is no token count")
        return count
    return None


def _whole(value: Value) -> int | None:
    match value:
        case bool():
            return None
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        # More digits are no count, and take quadratic time to read.
        case str() if len(value) < 20 and value.strip().isdecimal():
            return int(value)
        case _:
            return None


def text(attributes: Attributes, names: Names) -> str:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str):
            value = value.strip()
            if value:
                return value
        elif isinstance(value, list) and value:
            if isinstance(value[0], str):
                return value[0]
        elif value is not None and not isinstance(value, list | dict):
            return str(value)
    return ""


def number(attributes: Attributes, names: Names) -> float | None:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                continue
    return None
