"""The payload of a rejected record: enough to find and mend it, without what somebody said.

It works on bytes that may be anything (broken JSON, no UTF-8): the tenant, and with it the capture policy,
cannot be relied on here, so that text is masked for everybody.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from assay.collector import genai
from assay.collector.redact import DEFAULT
from assay.contracts.records import RECORDS, Quality, Record

MAX_PAYLOAD: Final = 16_384
MAX_VALUE: Final = 256
_MAX_KEY: Final = 64

_TOKEN: Final = re.compile(
    rb'(?P<string>"(?:[^"\\]++|\\.)*+"?)|(?P<space>[\s]++)|(?P<mark>[\[\]{}:,])|(?P<other>[^\s\[\]{}:,"]++)',
    re.DOTALL,
)
_LITERAL: Final = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|-?Infinity|NaN")
# Free text, and maps whose names are the sender's own.
_TEXT_FIELDS: Final = {"input", "output", "context", "comment", "text", "description", "attributes"}
# Not of Tokens: those are numbers, and a string under "prompt" is a prompt.
_CONTRACTS: Final[list[type[Record]]] = [*RECORDS.values(), Quality]
# What identifies a call in the logs of LiteLLM and Kong.
_GATEWAY_KEYS: Final = (
    "id",
    "litellm_call_id",
    "call_type",
    "custom_llm_provider",
    "model_group",
    "request_model",
    "provider_name",
    "service_tier",
    "error_class",
    "error_code",
)
_SAFE_KEYS: Final = {
    info.encode_name.encode()
    for record in _CONTRACTS
    for info in msgspec.structs.fields(record)
    if info.encode_name not in _TEXT_FIELDS
} | {name.encode() for name in (*genai.LABELS, *_GATEWAY_KEYS, "traceId", "spanId", "parentSpanId", "key")}


def masked(raw: bytes) -> bytes:
    """``raw``, cut to :data:`MAX_PAYLOAD` bytes, with the values of text fields and of unknown fields masked.

    Names, numbers and the values of the contract's short fields stay, the latter redacted.
    """
    out: list[bytes] = []
    size = 0
    key: bytes = b""
    text = _Tokens(raw)
    while size < MAX_PAYLOAD and (found := text.take()) is not None:
        token, kind = found
        if kind == "string" and text.at_colon():
            key = token.strip(b'"')
            token = token if len(token) <= _MAX_KEY else _mask(token)
        elif kind == "string":
            known = key in _SAFE_KEYS or _LITERAL.fullmatch(token.strip(b'"'))
            token = _bounded(token) if known else _mask(token)
        elif kind == "other":
            token = _bounded(token) if _LITERAL.fullmatch(token) else _mask(token)
        out.append(token)
        size += len(token)
    if text.position < len(raw):
        out.append(b"...(%d bytes in all)" % len(raw))
    return b"".join(out)


class _Tokens:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.position = 0

    def take(self) -> tuple[bytes, str] | None:
        found = _TOKEN.match(self._raw, self.position)
        if found is None:
            return None
        self.position = found.end()
        return found.group(), found.lastgroup or ""

    def at_colon(self) -> bool:
        found = _TOKEN.match(self._raw, self.position)
        if found is not None and found.lastgroup == "space":
            found = _TOKEN.match(self._raw, found.end())
        return found is not None and found.group() == b":"


def _mask(token: bytes) -> bytes:
    return b'"...(%d bytes)"' % len(token.strip(b'"'))


def _bounded(token: bytes) -> bytes:
    if len(token) > MAX_VALUE:
        return _mask(token)
    # Latin-1 maps every byte to a character and back, so that bytes that are no UTF-8 stay as they were.
    return DEFAULT.redact(token.decode("latin-1")).encode("latin-1")
