"""ClickHouse exceptions as the HTTP interface of a server gives them: code, status and body."""

from __future__ import annotations

import re

_CODE = re.compile(r"Code: (\d+)\. ")
_PREFIX = re.compile(r"^(?:Streaming (?:query|insert \w+) failed: )+")

# The mapping of a ClickHouse server (its `exceptionCodeToHTTPStatus`); every other code is 500.
_STATUS = {
    **dict.fromkeys((194,), 401),
    **dict.fromkeys((192, 193, 497, 516), 403),
    **dict.fromkeys((6, 25, 26, 27, 36, 38, 41, 53, 62, 72, 117, 158, 321, 376, 427, 467), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115), 404),
    159: 408,
    229: 413,
    48: 501,
    **dict.fromkeys((202, 439), 503),
}

TOO_MANY_SIMULTANEOUS_QUERIES = 202
AUTHENTICATION_FAILED = 516
BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
INCORRECT_DATA = 117
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
QUERY_IS_TOO_LARGE = 229


class EngineError(Exception):
    """An exception of the engine, or one that this server raises in the same form.

    Attributes:
        code: ClickHouse error code.
        status: HTTP status that a server answers with.
        body: what a server writes into the answer.
    """

    def __init__(self, code: int, body: str) -> None:
        super().__init__(body)
        self.code = code
        self.body = body

    @property
    def status(self) -> int:
        return _STATUS.get(self.code, 500)


def from_engine(error: Exception, version: str) -> EngineError:
    """The exception that chDB raised, without what chDB's Python layer puts around it."""
    text = _PREFIX.sub("", str(error)).strip()
    match = _CODE.search(text)
    if "(version " not in text:
        text = f"{text} (version {version})"
    return EngineError(int(match[1]) if match else 1001, f"{text}\n")


def tagged(error: EngineError, tag: str) -> bytes:
    """The exception as it ends an answer that had begun: between markers that carry the answer's tag."""
    message = error.body.rstrip("\n")
    framed = (
        f"\r\n__exception__\r\n{tag}\r\n{message}\n{len(message.encode()) + 1} {tag}\r\n__exception__\r\n"
    )
    return framed.encode()


def raised_here(code: int, name: str, message: str, version: str) -> EngineError:
    """An exception of this server itself, written as the engine would."""
    return EngineError(code, f"Code: {code}. DB::Exception: {message}. ({name}) (version {version})\n")
