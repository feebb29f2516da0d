"""The engine and its connections.

One process owns a data directory. Within it a connection costs under 0.1 ms, carries its own settings, and
runs beside the others: so every request gets one of its own, and a session is a connection that is kept.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from chdb import ChdbError
from chdb.state.sqlitelike import Connection

from assay.warehouse.embedded import errors
from assay.warehouse.embedded.request import Statement

_STREAMING_UNSUPPORTED = "Streaming query is not supported"


class Answer(Protocol):
    """What one statement gives back."""

    written_rows: int
    written_bytes: int
    read_rows: int
    read_bytes: int

    def chunks(self) -> Iterator[bytes]:
        """The result in the statement's output format, piece by piece; may raise :class:`EngineError`."""
        ...

    def close(self) -> None:
        """Stop a result that is not read to its end. Later, when its connection is gone, this would hang."""
        ...


@dataclass
class _Whole:
    """A result that is complete already."""

    content: bytes = b""
    written_rows: int = 0
    written_bytes: int = 0
    read_rows: int = 0
    read_bytes: int = 0

    def chunks(self) -> Iterator[bytes]:
        if self.content:
            yield self.content

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class _Stream:
    """A result that the engine still produces."""

    stream: Any
    first: bytes
    version: str
    written_rows: int = 0
    written_bytes: int = 0
    read_rows: int = 0
    read_bytes: int = 0

    def chunks(self) -> Iterator[bytes]:
        yield self.first
        try:
            for piece in self.stream:
                yield piece.bytes()
        except (ChdbError, RuntimeError) as error:
            raise errors.from_engine(error, self.version) from error

    def close(self) -> None:
        self.stream.close()


class _Tagged:
    """A connection whose statements can be found, and stopped, by its tag."""

    def __init__(self, path: str) -> None:
        self.connection = Connection(path)
        self.tag = secrets.token_hex(8)
        # chDB chooses query ids itself. This label does nothing while there is no query cache, and leaves
        # `log_comment` to the clients.
        self.connection.query(f"SET query_cache_tag = '{self.tag}'")

    def close(self) -> None:
        self.connection.close()


@dataclass
class _Session:
    tagged: _Tagged
    lock: threading.Lock = field(default_factory=threading.Lock)
    expires_at: float = 0.0


class Engine:
    """Runs statements against one data directory. Thread-safe.

    Args:
        directory: where the engine keeps its files; no other process may use it.
        config_file: XML that the engine reads.
    """

    def __init__(self, directory: Path, config_file: Path) -> None:
        self._path = f"{directory}?config-file={config_file}"
        # Held open for the life of the engine: with the last connection the engine itself would stop.
        self._keeper = Connection(self._path)
        self.version: str = self._keeper.query("SELECT version()", "TSVRaw").bytes().decode().strip()
        self._sessions: dict[str, _Session] = {}
        self._sessions_lock = threading.Lock()
        self._tags: dict[int, str] = {}

    def close(self) -> None:
        """Close every session and the engine."""
        with self._sessions_lock:
            for session in self._sessions.values():
                session.tagged.close()
            self._sessions.clear()
        self._keeper.close()

    @contextmanager
    def run(self, statement: Statement) -> Iterator[Answer]:
        """Run a statement; its connection lives until the block ends.

        Raises:
            EngineError: as the engine gave it.
        """
        with self._connection(statement) as connection:
            try:
                answer = self._execute(connection, statement)
            except (ChdbError, RuntimeError) as error:
                raise errors.from_engine(error, self.version) from error
            with closing(answer):
                yield answer

    def cancel(self, statement: Statement) -> None:
        """Stop a statement that :meth:`run` runs in another thread; it fails there as cancelled."""
        tag = self._tags.get(id(statement))
        if tag is None:
            return
        with closing(Connection(self._path)) as connection:
            connection.query(f"KILL QUERY WHERE Settings['query_cache_tag'] = '{tag}' ASYNC")

    def _execute(self, connection: Connection, statement: Statement) -> Answer:
        if statement.input_format:
            with connection.send_insert(statement.sql, statement.input_format) as inserter:
                inserter.append(statement.data)
                written = inserter.finish()
            return _Whole(written_rows=written.rows_written, written_bytes=written.bytes_written)
        parameters = dict(statement.parameters)
        if statement.streams:
            try:
                stream = connection.send_query(statement.sql, statement.output_format, params=parameters)
                first = stream.fetch()
            except ChdbError as error:
                if _STREAMING_UNSUPPORTED not in str(error):
                    raise
            else:
                if first is not None and (content := first.bytes()):
                    return _Stream(
                        stream,
                        content,
                        self.version,
                        read_rows=first.storage_rows_read(),
                        read_bytes=first.storage_bytes_read(),
                    )
                # A stream without rows gives no bytes at all, also in formats that have a head and a tail.
                stream.close()
        result = connection.query(statement.sql, statement.output_format, params=parameters)
        return _Whole(
            content=result.bytes(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
        )

    @contextmanager
    def _connection(self, statement: Statement) -> Iterator[Connection]:
        if not statement.session_id:
            with closing(_Tagged(self._path)) as tagged:
                self._prepare(tagged.connection, statement)
                with self._findable(statement, tagged):
                    yield tagged.connection
            return
        session = self._session(statement)
        if not session.lock.acquire(timeout=statement.session_timeout_s):
            raise errors.raised_here(
                errors.SESSION_IS_LOCKED,
                "SESSION_IS_LOCKED",
                f"Session {statement.session_id} is locked by a concurrent client",
                self.version,
            )
        try:
            connection = session.tagged.connection
            undo = self._prepare(connection, statement)
            try:
                with self._findable(statement, session.tagged):
                    yield connection
            finally:
                if undo:
                    connection.query(undo)
        finally:
            session.expires_at = time.monotonic() + statement.session_timeout_s
            session.lock.release()

    @contextmanager
    def _findable(self, statement: Statement, tagged: _Tagged) -> Iterator[None]:
        self._tags[id(statement)] = tagged.tag
        try:
            yield
        finally:
            del self._tags[id(statement)]

    def _session(self, statement: Statement) -> _Session:
        now = time.monotonic()
        with self._sessions_lock:
            for name, session in list(self._sessions.items()):
                if session.expires_at < now and session.lock.acquire(blocking=False):
                    session.tagged.close()
                    del self._sessions[name]
            found = self._sessions.get(statement.session_id)
            if found is None:
                if statement.session_check:
                    raise errors.raised_here(
                        errors.SESSION_NOT_FOUND,
                        "SESSION_NOT_FOUND",
                        f"Session {statement.session_id} not found",
                        self.version,
                    )
                found = _Session(_Tagged(self._path))
                self._sessions[statement.session_id] = found
            found.expires_at = now + statement.session_timeout_s
            return found

    def _prepare(self, connection: Connection, statement: Statement) -> str:
        """Set database and settings; return the statement that takes the settings back (for sessions)."""
        try:
            if statement.database:
                connection.query(f"USE {quote_identifier(statement.database)}")
            if not statement.settings:
                return ""
            before = _current(connection, statement.settings) if statement.session_id else []
            connection.query(f"SET {_assignments(statement.settings)}")
        except (ChdbError, RuntimeError) as error:
            raise errors.from_engine(error, self.version) from error
        return f"SET {', '.join(before)}" if before else ""


def _current(connection: Connection, settings: Mapping[str, str]) -> list[str]:
    """Assignments that give the settings the values that they have now."""
    names = ", ".join(_quote(name) for name in settings)
    rows = connection.query(
        f"SELECT name, value, changed FROM system.settings WHERE name IN ({names})", "TSVRaw"
    ).bytes()
    found = [line.split("\t") for line in rows.decode().splitlines()]
    return [
        f"{quote_identifier(name)} = {_quote(value) if changed == '1' else 'DEFAULT'}"
        for name, value, changed in found
    ]


def _assignments(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{quote_identifier(name)} = {_quote(value)}" for name, value in settings.items())


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_identifier(name: str) -> str:
    """A name as ClickHouse reads it, whatever it holds."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
