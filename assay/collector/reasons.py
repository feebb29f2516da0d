"""Why a record was refused, in the words of the sender: which field, what is wrong, what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgspec

from assay.collector.redact import DEFAULT
from assay.contracts.records import RECORDS, Quality, Record, Tokens

MAX_REASON: Final = 400

_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
# What people and spreadsheets put around the digits of an amount.
_ORNAMENTS: Final = re.compile(r"[\s'’]|[$€£¥]|[A-Z]{3}")
_PLAIN: Final = re.compile(r"[+-]?\d+(\.\d+)?")
_HOW: Final = "write digits with a decimal point and nothing else, for example 12.5"
_SHOWN: Final = 40
_QUOTED: Final = re.compile(r"`([^`]*)`")
_NESTED: Final[dict[str, type[Record]]] = {"tokens": Tokens, "quality": Quality}
# What other systems call our fields.
_ALIASES: Final = {
    "prompt_tokens": "tokens.prompt",
    "input_tokens": "tokens.prompt",
    "completion_tokens": "tokens.completion",
    "output_tokens": "tokens.completion",
    "cached_tokens": "tokens.cached",
    "cache_read_input_tokens": "tokens.cached",
    "cache_creation_input_tokens": "tokens.cache_write",
    "reasoning_tokens": "tokens.reasoning",
    "input": "tokens.prompt",
    "output": "tokens.completion",
    "cache_read": "tokens.cached",
    "id": "span_id",
    "time": "timestamp",
    "ts": "timestamp",
    "start_time": "timestamp",
    "tenant": "tenant_id",
    "template": "prompt_template_version",
    "prompt_version": "prompt_template_version",
    "cost": "cost_usd",
    "latency": "latency_ms",
    "duration_ms": "latency_ms",
    "ttft": "ttft_ms",
    "prompt": "input",
    "completion": "output",
    "response": "output",
    "metadata": "attributes",
}


class Reason(NamedTuple):
    """The field (dotted path, empty for the record as a whole) and the reason."""

    field: str
    reason: str


def explain(
    kind: str, error: Exception, sent: bytes | msgspec.Raw | Mapping[str, Any] | None = None
) -> Reason:
    """Turn an error of msgspec, or of decoding, into field and reason.

    Args:
        kind: a name of ``assay.contracts.records.RECORDS``.
        error: as it was raised.
        sent: the record, JSON or its fields; msgspec does not say which number it could not read.
    """
    if isinstance(error, RecursionError):
        return Reason("", "nested too deeply; records are flat but for `tokens`, `quality` and maps")
    if isinstance(error, UnicodeDecodeError):
        return Reason("", f"not UTF-8: byte 0x{error.object[error.start]:02x}; send the text UTF-8 encoded")
    if not isinstance(error, msgspec.ValidationError):
        return Reason("", _short(f"not JSON: {error}"))
    found = _AT.match(str(error))
    what, path = (found["what"], _dotted(found["path"] or "")) if found else (str(error), "")
    names = _QUOTED.findall(what)
    if what.startswith("Object missing required field"):
        field = _join(path, names[0])
        return Reason(field, f"`{field}` is missing")
    if what.startswith("Object contains unknown field"):
        return _unknown(kind, path, names[0][:128])
    if what.startswith("Expected `object`") and not path:
        return Reason("", f"a record has to be a JSON object{what.removeprefix('Expected `object`')}")
    if "timezone" in what:
        return Reason(path, f"`{path}` needs a UTC offset, for example 2024-01-15T09:23:47.123Z")
    if "RFC3339" in what or "Invalid `datetime`" in what or what.startswith("Expected `datetime`"):
        return Reason(path, f"`{path}` has to be an RFC 3339 time, for example 2024-01-15T09:23:47.123Z")
    if what == "Invalid decimal string":
        return _not_decimal(path, sent)
    if what.startswith("Expected `decimal"):
        got = names[1] if len(names) > 1 else "something else"
        return Reason(path, f"`{path}` has to be a decimal number, for example 12.5, got `{got}`")
    if what.startswith("`") and not path.count("."):
        # The records' own checks name their field and the fix themselves.
        return Reason(_join(path, names[0]) if path and "." not in names[0] else names[0], _short(what))
    return Reason(path, _short(f"`{path}`: {_lower(what)}" if path else what))


def _unknown(kind: str, path: str, name: str) -> Reason:
    field = _join(path, name)
    target = _NESTED.get(path, RECORDS[kind])
    known = [info.encode_name for info in msgspec.structs.fields(target)]
    every = set(known) | (
        {
            f"{outer}.{info.encode_name}"
            for outer, inner in _NESTED.items()
            for info in msgspec.structs.fields(inner)
        }
        if kind == "span"
        else set()
    )
    alias = _ALIASES.get(name.lower(), "")
    if alias in every and alias != name:
        return Reason(field, f"unknown field `{field}`: did you mean `{alias}`?")
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if close:
        return Reason(field, f"unknown field `{field}`: did you mean `{_join(path, close[0])}`?")
    where = f"`{path}`" if path else f"a {kind}"
    return Reason(field, f"unknown field `{field}`: {where} has {', '.join(known)}")


def _not_decimal(path: str, sent: bytes | msgspec.Raw | Mapping[str, Any] | None) -> Reason:
    """Of a text that is no number: the text, and how to write it."""
    value: Any = sent
    if isinstance(sent, bytes | msgspec.Raw):
        try:
            value = msgspec.json.decode(sent)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Broken further on: what stands here cannot be shown.
            value = None
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        # Of a map of numbers the first that is none.
        wrong = {key: item for key, item in value.items() if isinstance(item, str) and not _is_decimal(item)}
        name, value = next(iter(wrong.items()), ("", None))
        path = _join(path, name) if name else path
    if not isinstance(value, str):
        return Reason(path, f"`{path}` is not a decimal number; {_HOW}")
    shown = json.dumps(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…", ensure_ascii=False)
    fix = f"write {plain}" if (plain := _plain(value)) else _HOW
    return Reason(path, _short(f"`{path}`: {shown} is not a decimal number; {fix}"))


def _is_decimal(text: str) -> bool:
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True


def _plain(text: str) -> str:
    """The number with a decimal point and nothing else; empty where it could be read in two ways."""
    bare = _ORNAMENTS.sub("", text)
    comma, point = bare.rfind(","), bare.rfind(".")
    if comma >= 0 and point >= 0:
        # The last one parts the decimals, the other one thousands.
        grouping, mark = (".", ",") if comma > point else (",", ".")
        bare = bare.replace(grouping, "").replace(mark, ".")
    elif bare.count(",") == 1 and len(bare) - comma != 4:
        bare = bare.replace(",", ".")
    return bare if _PLAIN.fullmatch(bare) else ""


def _dotted(path: str) -> str:
    """``$[3].tokens.prompt`` and ``$.tokens.prompt`` as ``tokens.prompt``."""
    return re.sub(r"\[[^\]]*\]", "", path.removeprefix("$")).strip(".")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _short(text: str) -> str:
    # A message may repeat a value of the sender's.
    text = DEFAULT.redact(text)
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"
