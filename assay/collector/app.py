"""The HTTP service: telemetry in, acknowledged once the queue has it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import msgspec
import redis.asyncio
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from assay.collector import capture, native, otlp, otlp_json
from assay.collector.backlog import BacklogWatch
from assay.collector.body import RequestError, decompress, read
from assay.collector.envelope import Envelope, Reject
from assay.collector.metrics import Metrics
from assay.collector.openapi import document
from assay.collector.policies import PolicyWatch
from assay.collector.queue import QueueUnavailableError, publish_async
from assay.collector.redact import DEFAULT, Redactor
from assay.collector.spans import Mapped, map_spans
from assay.contracts.http import ErrorAnswer, IngestAnswer, ReadyAnswer, Rejected
from assay.contracts.records import Record
from assay.settings import Settings

ROUTES: Final = {
    "/v1/spans": "span",
    "/v1/evaluations": "evaluation",
    "/v1/feedback": "feedback",
    "/v1/outcomes": "outcome",
    "/v1/labels": "label",
    "/v1/deployments": "deployment",
}
TENANT_HEADER: Final = "x-assay-tenant"
SOURCE_HEADER: Final = "x-assay-source"
RETRY_AFTER_S: Final = 2
# One entry of the stream: what a writer inserts at once is of this order.
MAX_BATCH: Final = 5_000
# Parsing this much takes about a millisecond; more goes to a thread, so that small requests are not kept
# waiting.
_INLINE_BYTES: Final = 128 << 10
# Bodies being parsed in threads at once: bounds memory, and threads beyond the cores only take turns.
_PARSERS: Final = 4

_json: Final = msgspec.json.Encoder()
T = TypeVar("T")
_Endpoint = Callable[[Request], Awaitable[Response]]


class Collector:
    """The service and what it needs while it runs."""

    def __init__(self, settings: Settings, *, redactor: Redactor = DEFAULT) -> None:
        self._settings = settings
        self._redactor = redactor
        self._redis = redis.asyncio.Redis.from_url(
            settings.redis,
            socket_timeout=5,
            socket_connect_timeout=2,
            # A sender waits meanwhile: two quick tries, then it is told to come back.
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), 2),
        )
        self.backlog = BacklogWatch(self._redis, settings.queue_max_entries)
        self.policies = PolicyWatch(settings)
        self.metrics = Metrics(self.backlog, self.policies)
        self._parsers = asyncio.Semaphore(_PARSERS)

    def application(self) -> Starlette:
        """The ASGI application."""
        posts = [
            Route(path, self._timed(path, self._ingest(path, kind)), methods=["POST"])
            for path, kind in ROUTES.items()
        ]
        return Starlette(
            routes=[
                *posts,
                Route("/v1/traces", self._timed("/v1/traces", self._traces), methods=["POST"]),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
                Route("/openapi.json", self._openapi),
            ],
            exception_handlers={404: _no_such_route, 405: _wrong_method},
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        await asyncio.gather(self.backlog.refresh(), self.policies.refresh())
        watches = [asyncio.create_task(self.backlog.run()), asyncio.create_task(self.policies.run())]
        try:
            yield
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await self._redis.aclose()

    # -- requests --------------------------------------------------------------------------------------------

    def _timed(self, path: str, endpoint: _Endpoint) -> _Endpoint:
        async def timed(request: Request) -> Response:
            started = time.perf_counter()
            try:
                response = await endpoint(request)
            except ClientDisconnect:
                # Nobody is there to read an answer; nothing was queued.
                response = Response(status_code=499)
            self.metrics.requests.labels(path, response.status_code).observe(time.perf_counter() - started)
            return response

        return timed

    def _ingest(self, path: str, kind: str) -> _Endpoint:
        async def ingest(request: Request) -> Response:
            # Generated traffic says so, and every screen shows it; no other word is taken from a sender.
            source = "simulator" if request.headers.get(SOURCE_HEADER) == "simulator" else "native"
            try:
                body = await self._body(request, path)
                parsed = await self._parse(body, lambda: self._native(kind, body))
                await self._queue(kind, source, parsed.records, parsed.rejects)
            except RequestError as error:
                await self._refuse(kind, source, error)
                return _error(error.status, error.error, error.fix)
            except QueueUnavailableError as error:
                return _busy(str(error))
            self.metrics.count(kind, source, accepted=len(parsed.records), rejected=len(parsed.rejects))
            return _answer(200, IngestAnswer(accepted=len(parsed.records), rejected=_told(parsed.rejects)))

        return ingest

    async def _traces(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        reply = otlp.JSON if content_type == otlp.JSON else otlp.PROTOBUF
        try:
            body = await self._body(request, "/v1/traces")
            if content_type not in (otlp.JSON, otlp.PROTOBUF):
                raise RequestError(
                    415,
                    f"Content-Type {content_type[:64]!r} is not OTLP",
                    f"send {otlp.PROTOBUF} or {otlp.JSON}",
                    body,
                )
            tenant = request.headers.get(TENANT_HEADER, "").strip()
            mapped = await self._parse(body, lambda: self._otlp(reply, body, tenant))
            await self._queue("span", "otlp", mapped.records, mapped.rejects)
        except RequestError as error:
            await self._refuse("span", "otlp", error)
            return _otlp_error(reply, error.status, f"{error.error}; {error.fix}")
        except QueueUnavailableError as error:
            return _otlp_error(reply, 503, str(error))
        self.metrics.count(
            "span", "otlp", accepted=len(mapped.records), rejected=len(mapped.rejects), ignored=mapped.ignored
        )
        return Response(otlp.success(reply, len(mapped.rejects), _summary(mapped.rejects)), media_type=reply)

    async def _body(self, request: Request, path: str) -> bytes:
        if self.backlog.full:
            raise QueueUnavailableError(
                f"{self.backlog.current.entries} batches wait for the writer, the most allowed is "
                f"{self._settings.queue_max_entries}"
            )
        body = await read(request, limit=self._settings.max_body_bytes)
        self.metrics.bytes.labels(path).inc(len(body))
        encoding = request.headers.get("content-encoding", "")
        limit = self._settings.max_decoded_bytes
        return await self._parse(body, lambda: decompress(body, encoding, limit=limit))

    async def _parse(self, body: bytes, work: Callable[[], T]) -> T:
        if len(body) <= _INLINE_BYTES:
            return work()
        async with self._parsers:
            return await asyncio.to_thread(work)

    def _native(self, kind: str, body: bytes) -> native.Parsed:
        if not body.strip(native.SPACE):
            raise RequestError(400, "the body is empty", "send a JSON array, NDJSON, or one JSON object")
        parsed = native.parse(kind, body)
        capture.apply(parsed.records, self.policies.current, self._redactor)
        return parsed

    def _otlp(self, content_type: str, body: bytes, tenant: str) -> Mapped:
        policies = self.policies.current
        spans = otlp_json.decode_json(body) if content_type == otlp.JSON else otlp.decode_protobuf(body)
        mapped = map_spans(spans, tenant=tenant, wants_text=policies.captures)
        capture.apply(mapped.records, policies, self._redactor)
        return mapped

    async def _queue(self, kind: str, source: str, records: list[Record], rejects: list[Reject]) -> None:
        """Queue the records; rejects go with the last batch, so that one acknowledgement covers all."""
        if not records and not rejects:
            return
        batches = [records[start : start + MAX_BATCH] for start in range(0, len(records), MAX_BATCH)] or [[]]
        for batch in batches[:-1]:
            await publish_async(self._redis, Envelope.of(kind, source, batch))
        await publish_async(self._redis, Envelope.of(kind, source, batches[-1], rejects=rejects))

    async def _refuse(self, kind: str, source: str, error: RequestError) -> None:
        """Keep a trace of a request that could not be read at all."""
        reject = Reject(index=0, field="", reason=f"{error.status}: {error.error}", payload=error.head)
        self.metrics.count(kind, source, rejected=1)
        with contextlib.suppress(QueueUnavailableError):
            # Without the queue the sender is still told; it was not going to be acknowledged.
            await publish_async(self._redis, Envelope.of(kind, source, [], rejects=[reject]))

    # -- about the service -----------------------------------------------------------------------------------

    async def _healthz(self, _request: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def _readyz(self, _request: Request) -> Response:
        found = await self.backlog.refresh()
        queue = found.error or (
            f"full: {found.entries} batches wait" if self.backlog.full else f"ok: {found.entries} batches"
        )
        ready = not found.error and not self.backlog.full
        checks = {"queue": queue, "durability": found.durability, "capture": self.policies.state}
        return _answer(200 if ready else 503, ReadyAnswer(ready=ready, checks=checks))

    async def _metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def _openapi(self, _request: Request) -> Response:
        return Response(document(), media_type="application/json")


def _told(rejects: list[Reject]) -> list[Rejected]:
    return [Rejected(index=reject.index, reason=reject.reason, field=reject.field) for reject in rejects]


def _summary(rejects: list[Reject], shown: int = 5) -> str:
    lines = [f"span {reject.index}: {reject.reason}" for reject in rejects[:shown]]
    if len(rejects) > shown:
        lines.append(f"and {len(rejects) - shown} more; see ingest_rejects")
    return "; ".join(lines)


def _answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(_json.encode(body), status, headers, media_type="application/json")


def _error(status: int, error: str, fix: str, headers: dict[str, str] | None = None) -> Response:
    return _answer(status, ErrorAnswer(error=error, fix=fix), headers)


def _busy(error: str) -> Response:
    fix = f"nothing was accepted: send the same request again in {RETRY_AFTER_S} seconds"
    return _error(503, error, fix, {"Retry-After": str(RETRY_AFTER_S)})


def _otlp_error(content_type: str, status: int, message: str) -> Response:
    # google.rpc.Code: INVALID_ARGUMENT and UNAVAILABLE, the one that exporters retry.
    code = 14 if status == 503 else 3
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return Response(otlp.failure(content_type, code, message), status, headers, media_type=content_type)


async def _no_such_route(request: Request, _found: Exception) -> Response:
    known = ", ".join([*ROUTES, "/v1/traces"])
    return _error(404, f"{request.url.path} is not served here", f"the routes are {known}; see /openapi.json")


async def _wrong_method(request: Request, _found: Exception) -> Response:
    method = "POST" if request.url.path.startswith("/v1/") else "GET"
    return _error(
        405, f"{request.method} is not served at {request.url.path}", f"use {method}", {"Allow": method}
    )
