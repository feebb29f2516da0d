"""What a request of the HTTP interface asks for."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

# URL parameters that steer the interface; every other one is a setting of the query (as on a server).
_INTERFACE = frozenset(
    {
        *(
            "query",
            "database",
            "default_format",
            "query_id",
            "user",
            "password",
            "quota_key",
            "role",
            "stacktrace",
        ),
        *("session_id", "session_timeout", "session_check", "close_session", "compress", "decompress"),
        *("buffer_size", "wait_end_of_query", "client_protocol_version", "enable_http_compression"),
        *(
            "send_progress_in_http_headers",
            "http_headers_progress_interval_ms",
            "http_write_exception_in_output_format",
        ),
    }
)
_COMMENT = r"(?:\s+|--[^\n]*\n|/\*.*?\*/)*"
_FIRST_WORD = re.compile(rf"{_COMMENT}\(*\s*(\w+)".encode(), re.DOTALL)
# An INSERT whose data follows: everything up to the format's name is the statement. Quoted identifiers and
# strings may hold anything; a SELECT before FORMAT makes it a statement without data.
_INSERT = re.compile(
    rb"(?P<statement>(?:[^'\"`;]|'(?:[^'\\]|\\.)*'|\"[^\"]*\"|`[^`]*`)*?)\sFORMAT\s+(?P<format>\w+)"
    rb"(?P<tail>\s+SETTINGS\s[^\n;]*)?[ \t\r]*;?(?:\n|$|\s)",
    re.DOTALL | re.IGNORECASE,
)
_SELECT = re.compile(rb"\b(?:SELECT|WITH|WATCH)\b", re.IGNORECASE)
_OUTPUT = re.compile(rb"\bFORMAT\s+(\w+)\s*(?:SETTINGS\s[^;]*)?;?\s*$", re.IGNORECASE)
_INFILE = re.compile(rb"\bFROM\s+INFILE\b|\bINTO\s+OUTFILE\b", re.IGNORECASE)
# The engine writes every piece of a streamed result as a result of its own. In these formats the pieces
# together are the whole; in any other (JSON, Arrow, Parquet, CSVWithNames, …) they would be many heads and
# tails in a row.
_PIECEWISE = frozenset(
    {
        *(
            "TabSeparated",
            "TSV",
            "TabSeparatedRaw",
            "TSVRaw",
            "CSV",
            "RowBinary",
            "Native",
            "LineAsString",
            "RawBLOB",
        ),
        *("JSONEachRow", "JSONLines", "NDJSON", "JSONCompactEachRow", "JSONStringsEachRow", "MsgPack"),
    }
)
# Statement heads are this short; data may follow for gigabytes.
_HEAD = 1 << 16


@dataclass(frozen=True)
class Statement:
    """One statement, ready to run.

    Attributes:
        sql: the statement; for an insert with data, without its ``FORMAT`` clause.
        kind: its first word in upper case.
        output_format: of the answer.
        input_format: of ``data``; empty where no data follows.
        data: the rows of an insert.
    """

    sql: str
    kind: str
    output_format: str
    input_format: str = ""
    data: bytes = b""
    database: str = ""
    query_id: str = ""
    session_id: str = ""
    session_timeout_s: float = 60.0
    session_check: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> bool:
        """Whether nothing but its answer is lost with it."""
        return self.kind in ("SELECT", "WITH")

    @property
    def streams(self) -> bool:
        """Whether the engine can give its result piece by piece."""
        return self.reads and self.output_format in _PIECEWISE


def parse(
    parameters: Mapping[str, str], headers: Mapping[str, str], body: bytes, *, readonly: bool
) -> Statement:
    """The statement of a request.

    Args:
        parameters: of the URL.
        headers: of the request, lower case names.
        body: decompressed.
        readonly: whether the method allows reading only (GET).

    Raises:
        ValueError: the query is not UTF-8, or a parameter is not of its form.
    """
    url_query = parameters.get("query", "").encode()
    text = url_query + (b"\n" if url_query and body else b"") + body
    match = _FIRST_WORD.match(text[:_HEAD])
    kind = match[1].decode().upper() if match else ""
    settings = {k: v for k, v in parameters.items() if k not in _INTERFACE and not k.startswith("param_")}
    if readonly:
        settings["readonly"] = "2"
    insert = _insert(text) if kind == "INSERT" else None
    sql = text if insert is None else insert[0]
    return Statement(
        sql=_utf8(sql),
        kind=kind,
        output_format=_output_format(sql if insert is None else b"", parameters, headers),
        input_format="" if insert is None else insert[1],
        data=b"" if insert is None else insert[2],
        database=parameters.get("database") or headers.get("x-clickhouse-database", ""),
        query_id=parameters.get("query_id") or str(uuid.uuid4()),
        session_id=parameters.get("session_id", ""),
        session_timeout_s=_seconds(parameters.get("session_timeout", "60")),
        session_check=parameters.get("session_check") == "1",
        parameters={k.removeprefix("param_"): v for k, v in parameters.items() if k.startswith("param_")},
        settings=settings,
    )


def _insert(text: bytes) -> tuple[bytes, str, bytes] | None:
    """(statement, format, data) of an INSERT with data in a named format; None for any other."""
    match = _INSERT.match(text[:_HEAD])
    if match is None or _SELECT.search(match["statement"]) or _INFILE.search(match["statement"]):
        return None
    return match["statement"] + (match["tail"] or b""), match["format"].decode(), text[match.end() :]


def _output_format(sql: bytes, parameters: Mapping[str, str], headers: Mapping[str, str]) -> str:
    if match := _OUTPUT.search(sql[-_HEAD:]):
        return match[1].decode()
    return parameters.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated"


def _utf8(sql: bytes) -> str:
    try:
        return sql.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"the query is not valid UTF-8 at byte {error.start}") from error


def _seconds(text: str) -> float:
    if not text.isdigit():
        raise ValueError(f"session_timeout must be a whole number of seconds, got {text!r}")
    return float(text)
