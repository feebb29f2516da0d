"""Prompts, answers and retrieved documents, from the many shapes in which instrumentations attach them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from assay.collector import genai
from assay.collector.otlp import Attributes, OtlpSpan

MAX_TEXT: Final = 1_000_000
_MAX_ITEMS: Final = 512
_MAX_DEPTH: Final = 16

Lists = tuple[tuple[str, str, str], ...]


def input_text(span: OtlpSpan) -> str | None:
    """What the model was asked: ``role: text`` lines, the system's instructions first."""
    system = plain(span.attributes.get(genai.SYSTEM), roles=False)
    text = _found(span, genai.INPUT, genai.INPUT_LISTS, roles=True)
    if system:
        text = f"system: {system}\n{text or ''}".rstrip("\n")
    return text[:MAX_TEXT] if text else None


def output_text(span: OtlpSpan) -> str | None:
    """What the model answered."""
    text = _found(span, genai.OUTPUT, genai.OUTPUT_LISTS, roles=False)
    return text[:MAX_TEXT] if text else None


def context_text(span: OtlpSpan) -> list[str] | None:
    """The documents that were retrieved for the call."""
    for prefix, _, content in genai.CONTEXT_LISTS:
        documents = [text for _, text in _list(span.attributes, prefix, "", content)]
        if documents:
            return [document[:MAX_TEXT] for document in documents]
    for name in genai.CONTEXT:
        value = _decoded(span.attributes.get(name))
        if isinstance(value, list):
            return [text[:MAX_TEXT] for text in (_part(item) for item in value[:_MAX_ITEMS]) if text] or None
    return None


def _found(span: OtlpSpan, names: genai.Names, lists: Lists, *, roles: bool) -> str:
    # Where both a list of messages and a raw request are there, the list is the text, the request is JSON
    # around it.
    for prefix, role, content in lists:
        messages = _list(span.attributes, prefix, role, content)
        if messages:
            return "\n".join(f"{who}: {text}" if roles and who else text for who, text in messages)
    for attributes in (span.attributes, *(event.attributes for event in span.events)):
        for name in names:
            text = plain(attributes.get(name), roles=roles)
            if text:
                return text
    return ""


def _list(attributes: Attributes, prefix: str, role: str, content: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for number in range(_MAX_ITEMS):
        text = attributes.get(f"{prefix}{number}.{content}")
        if text is None:
            break
        found.append((str(attributes.get(f"{prefix}{number}.{role}", "")), plain(text, roles=False)))
    return found


def plain(value: Any, *, roles: bool) -> str:
    """Text of a message list in any of its shapes; of a string that is no such list, the string."""
    decoded = _decoded(value)
    if isinstance(decoded, list):
        lines = []
        for item in decoded[:_MAX_ITEMS]:
            text = _part(item)
            role = item.get("role") if isinstance(item, dict) else None
            if text:
                lines.append(f"{role}: {text}" if roles and isinstance(role, str) else text)
        if lines or not isinstance(value, str):
            return "\n".join(lines)
    if isinstance(decoded, dict):
        text = _part(decoded)
        if text or not isinstance(value, str):
            return text
    return value if isinstance(value, str) else ""


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in "[{" and value:
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return value
    return value


def _part(item: Any, depth: int = 0) -> str:
    """The text of a message, part or document: ``{parts: [{content}]}``, ``{content}``, ``{text}``, str."""
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and depth < _MAX_DEPTH:
        for name in ("parts", "content", "text", "message", "messages"):
            inner = item.get(name)
            if isinstance(inner, str) and inner:
                return inner
            if isinstance(inner, list):
                return "\n".join(text for text in (_part(i, depth + 1) for i in inner[:_MAX_ITEMS]) if text)
            if isinstance(inner, dict):
                return _part(inner, depth + 1)
    return ""
