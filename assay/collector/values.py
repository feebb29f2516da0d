"""Attribute values: text, numbers and token counts, whichever of its names a field came under."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from assay.collector import genai
from assay.collector.otlp import Attributes, Value
from assay.collector.usage import MAX_TOKENS, UnreadableError, settle, tokens_of, whole


class Picked(NamedTuple):
    """The attributes of a span or resource, sorted out.

    Attributes:
        best: per field of ``genai.ROWS``, the rank of its best name and the value under it.
        others: attributes without a field.
    """

    best: dict[str, tuple[int, Value]]
    others: list[tuple[str, Value]]

    def text(self, field: str) -> str:
        """The field as text; of a list, the first; empty when it is absent."""
        found = self.best.get(field)
        if found is None:
            return ""
        value = found[1]
        if isinstance(value, str):
            return value.strip()
        if isinstance(value, list):
            return value[0] if value and isinstance(value[0], str) else ""
        return "" if isinstance(value, dict) else str(value)

    def number(self, field: str) -> float | None:
        """The field as a finite number, if it is one."""
        found = self.best.get(field)
        if found is None or isinstance(found[1], bool | list | dict | None):
            return None
        try:
            number = float(found[1])
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None

    def token_count(self, field: str) -> int | None:
        """The field as a token count.

        Raises:
            UnreadableError: it is something else.
        """
        found = self.best.get(field)
        if found is None:
            return None
        rank, value = found
        count = whole(value)
        if count is None or not 0 <= count <= MAX_TOKENS:
            name = genai.ROWS[field][rank]
            raise UnreadableError(field, f"`{name}` = {str(value)[:64]!r} is no token count")
        return count


def pick(attributes: Attributes) -> Picked:
    """Sort out attributes in one pass over them."""
    best: dict[str, tuple[int, Value]] = {}
    others: list[tuple[str, Value]] = []
    for name, value in attributes.items():
        if value is None or value == "":
            continue
        row = genai.ROW_OF.get(name)
        if row is None:
            others.append((name, value))
            continue
        field, rank = row
        before = best.get(field)
        if before is None or rank < before[0]:
            best[field] = (rank, value)
    return Picked(best, others)


def usage(span: Picked, resource: Picked, *, failed: bool = False) -> dict[str, int]:
    """Token counts by the contract (:func:`assay.collector.usage.settle`).

    Args:
        failed: whether the call failed, so that no usage is no tokens.

    Raises:
        UnreadableError: there is no usage, or what is no count.
    """
    counts = {field: span.token_count(f"tokens.{field}") for field in genai.TOKENS}
    prompt, completion, total = counts["prompt"], counts["completion"], counts.pop("total")
    if prompt is None and completion is None and not failed:
        raise UnreadableError(
            "tokens",
            "a model call without token usage: set `gen_ai.usage.input_tokens` and "
            "`gen_ai.usage.output_tokens` (OpenAI streams report usage with stream_options.include_usage)",
        )
    if block := _block(span):
        counts |= {field: n for field, n in block.items() if counts[field] is None}
    said = (span.text("excludes_cache") or resource.text("excludes_cache")).lower()
    return settle(
        prompt=prompt or 0,
        completion=completion or 0,
        cached=counts["cached"],
        cache_write=counts["cache_write"],
        cache_write_1h=counts["cache_write_1h"],
        reasoning=counts["reasoning"],
        total=total,
        excludes=said == "true" if said else None,
    )


def _block(span: Picked) -> dict[str, int]:
    """The parts of a usage block that is written as text: JSON, or what Python prints of a dictionary."""
    text = span.text("usage_block")
    if not text.startswith("{"):
        return {}
    for old, new in (("'", '"'), ("None", "null"), ("True", "true"), ("False", "false")):
        text = text.replace(old, new)
    try:
        tokens = tokens_of(msgspec.json.decode(text, type=dict[str, Any]))
    except (msgspec.MsgspecError, RecursionError, UnreadableError):
        # What the span says outright is there without it.
        return {}
    parts = {"cached": tokens.cached, "cache_write": tokens.cache_write, "reasoning": tokens.reasoning}
    return {field: count for field, count in parts.items() if count is not None}
