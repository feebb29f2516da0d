"""The HTTP interface of a ClickHouse server, as an ASGI application over the embedded engine."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.to_thread
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from assay.warehouse.embedded import compression, errors, form
from assay.warehouse.embedded.engine import Answer, Engine
from assay.warehouse.embedded.errors import EngineError
from assay.warehouse.embedded.request import Statement, parse

# A row block of a whole day of a small tenant fits; more is a mistake or an attack.
MAX_BODY_BYTES = 1 << 30


@dataclass(frozen=True)
class Limits:
    """How much the server takes on at once.

    Attributes:
        running: statements that run together; the engine uses all cores for each.
        wait_s: how long one more waits for its turn before it is refused with 503.
        body_bytes: largest body, decompressed.
    """

    running: int = 16
    wait_s: float = 10.0
    body_bytes: int = MAX_BODY_BYTES


@dataclass(frozen=True)
class User:
    """Who may connect."""

    name: str = "default"
    password: str = ""


class Server:
    """One engine behind HTTP."""

    def __init__(self, engine: Engine, limits: Limits, user: User) -> None:
        self._engine = engine
        self._limits = limits
        self._user = user
        self._slots = anyio.CapacityLimiter(limits.running)
        self._registry = CollectorRegistry()
        self._queries = Counter(
            "clickhouse_embedded_queries", "Statements by kind.", ["kind"], registry=self._registry
        )
        self._errors = Counter(
            "clickhouse_embedded_errors", "Exceptions by code.", ["code"], registry=self._registry
        )
        self._written = Counter("clickhouse_embedded_written_rows", "Rows inserted.", registry=self._registry)
        self._seconds = Counter(
            "clickhouse_embedded_query_seconds", "Time spent in statements.", registry=self._registry
        )
        self._running = Gauge(
            "clickhouse_embedded_running", "Statements running now.", registry=self._registry
        )

    def application(self) -> Starlette:
        """The ASGI application; its end closes the engine."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            yield
            await anyio.to_thread.run_sync(self._engine.close)

        return Starlette(
            routes=[
                Route("/ping", _ok),
                Route("/replicas_status", _ok),
                Route("/metrics", self._metrics),
                Route("/", self._statement, methods=["GET", "POST", "PUT"]),
            ],
            lifespan=lifespan,
        )

    async def _metrics(self, _: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def _statement(self, request: Request) -> Response:
        if request.method == "GET" and "query" not in request.query_params:
            return await _ok(request)
        try:
            self._authenticate(request)
            parameters: Mapping[str, str] = request.query_params
            body = await self._body(request)
            if form.is_form(request.headers):
                # What stands in both is taken from the URL, as a server does.
                parameters, body = {**await form.fields(request.headers, body), **parameters}, b""
            statement = parse(parameters, request.headers, body, readonly=request.method == "GET")
            if not statement.kind:
                raise self._error(errors.SYNTAX_ERROR, "SYNTAX_ERROR", "Empty query")
            return await self._answer(request, statement)
        except EngineError as error:
            return self._refusal(error)
        except compression.TooLargeError as error:
            return self._refusal(self._error(errors.QUERY_IS_TOO_LARGE, "QUERY_IS_TOO_LARGE", str(error)))
        except compression.UnsupportedEncodingError as error:
            return self._refusal(self._error(errors.BAD_ARGUMENTS, "BAD_ARGUMENTS", str(error)))
        except form.ExternalTableError as error:
            return self._refusal(self._error(errors.NOT_IMPLEMENTED, "NOT_IMPLEMENTED", str(error)))
        except ValueError as error:
            return self._refusal(self._error(errors.INCORRECT_DATA, "INCORRECT_DATA", str(error)))

    async def _body(self, request: Request) -> bytes:
        body = compression.Body(request.headers.get("content-encoding", ""), self._limits.body_bytes)
        async for chunk in request.stream():
            body.append(chunk)
        return await anyio.to_thread.run_sync(body.read)

    async def _answer(self, request: Request, statement: Statement) -> Response:
        began = time.perf_counter_ns()
        run = _Run(self._engine, statement)
        await self._admit(run)
        # As long as nothing is sent, only this notices that the client has gone.
        watcher = asyncio.create_task(_stop_without_client(request, run)) if statement.reads else None
        try:
            head, more = await anyio.to_thread.run_sync(run.start)
        except BaseException:
            await self._finish(run, began)
            raise
        finally:
            if watcher is not None:
                watcher.cancel()
        self._queries.labels(kind=statement.kind).inc()
        self._written.inc(run.answer.written_rows)
        headers = self._headers(statement, run.answer, time.perf_counter_ns() - began)
        encoder = _encoder(request)
        if encoder is not None:
            headers["Content-Encoding"] = encoder[0]
        if more:
            tag = headers["X-ClickHouse-Exception-Tag"] = secrets.token_hex(8)
            body = self._stream(run, head, None if encoder is None else encoder[1], tag, began)
            return StreamingResponse(body, headers=headers)
        await self._finish(run, began)
        content = head if encoder is None else encoder[1].compress(head) + encoder[1].flush()
        return Response(content, headers=headers)

    async def _stream(
        self, run: _Run, head: bytes, encoder: compression.Encoder | None, tag: str, began: int
    ) -> AsyncIterator[bytes]:
        def encoded(piece: bytes) -> bytes:
            return piece if encoder is None else encoder.compress(piece)

        try:
            yield encoded(head)
            while piece := await anyio.to_thread.run_sync(run.next):
                yield encoded(piece)
            if encoder is not None:
                yield encoder.flush()
        except EngineError as error:
            self._errors.labels(code=error.code).inc()
            # As a server does in mid-stream: the exception between tags, then a connection broken off.
            yield encoded(errors.tagged(error, tag))
            if encoder is not None:
                yield encoder.flush()
            raise
        finally:
            await self._finish(run, began)

    async def _admit(self, run: _Run) -> None:
        with anyio.move_on_after(self._limits.wait_s) as waiting:
            await self._slots.acquire_on_behalf_of(run)
        if waiting.cancelled_caught:
            raise self._error(
                errors.TOO_MANY_SIMULTANEOUS_QUERIES,
                "TOO_MANY_SIMULTANEOUS_QUERIES",
                f"Too many simultaneous queries. Maximum: {self._limits.running}",
            )
        self._running.inc()

    async def _finish(self, run: _Run, began: int) -> None:
        if not run.over:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(run.close)
        self._slots.release_on_behalf_of(run)
        self._running.dec()
        self._seconds.inc((time.perf_counter_ns() - began) / 1e9)

    def _authenticate(self, request: Request) -> None:
        name, password = _credentials(request)
        wanted = self._user
        if name != wanted.name or not secrets.compare_digest(password.encode(), wanted.password.encode()):
            raise self._error(
                errors.AUTHENTICATION_FAILED,
                "AUTHENTICATION_FAILED",
                f"{name}: Authentication failed: password is incorrect, or there is no user with such name",
            )

    def _error(self, code: int, name: str, message: str) -> EngineError:
        return errors.raised_here(code, name, message, self._engine.version)

    def _refusal(self, error: EngineError) -> Response:
        self._errors.labels(code=error.code).inc()
        headers = {"X-ClickHouse-Exception-Code": str(error.code)}
        if error.status == 503:
            headers["Retry-After"] = "1"
        return PlainTextResponse(error.body, status_code=error.status, headers=headers)

    def _headers(self, statement: Statement, answer: Answer, elapsed_ns: int) -> dict[str, str]:
        summary = {
            "read_rows": str(answer.read_rows),
            "read_bytes": str(answer.read_bytes),
            "written_rows": str(answer.written_rows),
            "written_bytes": str(answer.written_bytes),
            "total_rows_to_read": "0",
            "result_rows": "0",
            "result_bytes": "0",
            "elapsed_ns": str(elapsed_ns),
        }
        return {
            "Content-Type": "application/octet-stream",
            "X-ClickHouse-Query-Id": statement.query_id,
            "X-ClickHouse-Format": statement.output_format,
            "X-ClickHouse-Timezone": "UTC",
            "X-ClickHouse-Server-Display-Name": "assay-embedded",
            "X-ClickHouse-Summary": json.dumps(summary),
        }


class _Run:
    """One statement while it runs; its methods are called from worker threads, one at a time."""

    answer: Answer

    def __init__(self, engine: Engine, statement: Statement) -> None:
        self._engine = engine
        self._statement = statement
        self._stack = ExitStack()
        self._pieces: Iterator[bytes] = iter(())
        self.over = False

    def start(self) -> tuple[bytes, bool]:
        """Run it up to the second piece of its answer: what there is, and whether more may come. Most answers
        are one piece; for these, this call is all, as one change of threads costs as much as a small query.
        """
        self.answer = self._stack.enter_context(self._engine.run(self._statement))
        self._pieces = self.answer.chunks()
        first = self.next()
        second = self.next() if first else b""
        if not second:
            self.close()
        return first + second, bool(second)

    def next(self) -> bytes:
        """The next piece of the answer; empty at its end."""
        return next(self._pieces, b"")

    def cancel(self) -> None:
        """Stop the statement from another thread."""
        self._engine.cancel(self._statement)

    def close(self) -> None:
        self._stack.close()
        self.over = True


async def _stop_without_client(request: Request, run: _Run) -> None:
    """Stop what nobody waits for. Writes go on, as they do on a server."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    await anyio.to_thread.run_sync(run.cancel)


async def _ok(_: Request) -> Response:
    return PlainTextResponse("Ok.\n")


def _encoder(request: Request) -> tuple[str, compression.Encoder] | None:
    if request.query_params.get("enable_http_compression") != "1":
        return None
    return compression.encoder(request.headers.get("accept-encoding", ""))


def _credentials(request: Request) -> tuple[str, str]:
    """(user, password) in the order in which a server looks: own headers, basic auth, URL."""
    headers = request.headers
    if "x-clickhouse-user" in headers:
        return headers["x-clickhouse-user"], headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return name, password
    return request.query_params.get("user", "default"), request.query_params.get("password", "")
