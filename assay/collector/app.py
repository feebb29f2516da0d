"""The HTTP service: telemetry in, acknowledged once the queue has it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

import redis.asyncio
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from assay.collector import capture, gateway, kong, litellm, native, otlp, otlp_json
from assay.collector.access import Access, DeniedError
from assay.collector.answers import RETRY_AFTER_S, answer, busy, failure, otlp_failure, summary, told
from assay.collector.backlog import BacklogWatch
from assay.collector.body import BusyError, RequestError, Room, decompress, read
from assay.collector.envelope import Envelope, Reject
from assay.collector.keyring import Keyring
from assay.collector.metrics import Metrics
from assay.collector.openapi import document
from assay.collector.policies import PolicyWatch
from assay.collector.queue import QueueUnavailableError, publish_async
from assay.collector.redact import DEFAULT, Redactor
from assay.collector.spans import Mapped, map_spans
from assay.contracts.http import IngestAnswer, ReadyAnswer
from assay.contracts.records import Record
from assay.settings import Settings
from assay.warehouse.api_keys import EVERY_TENANT, ApiKey

ROUTES: Final = {
    "/v1/spans": "span",
    "/v1/evaluations": "evaluation",
    "/v1/feedback": "feedback",
    "/v1/outcomes": "outcome",
    "/v1/labels": "label",
    "/v1/deployments": "deployment",
}
GATEWAYS: Final = {"/v1/litellm": (litellm.SOURCE, litellm.read), "/v1/kong": (kong.SOURCE, kong.read)}
TENANT_HEADER: Final = "x-assay-tenant"
SOURCE_HEADER: Final = "x-assay-source"
# One entry of the stream: what a writer inserts at once is of this order.
MAX_BATCH: Final = 5_000
# Parsing this much takes about a millisecond; more goes to a thread, so that small requests are not kept
# waiting.
_INLINE_BYTES: Final = 128 << 10
# A compressed body of this size is of about the same, and is given up where it is not.
_INLINE_COMPRESSED: Final = 16 << 10
# Bodies being parsed in threads at once: bounds memory, and threads beyond the cores only take turns.
_PARSERS: Final = 4

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
        self.keyring = Keyring(settings)
        self.access = Access(settings, self.keyring)
        self.metrics = Metrics(self.backlog, self.policies)
        self._parsers = asyncio.Semaphore(_PARSERS)
        self._room = Room(max(settings.max_waiting_bytes, settings.max_body_bytes))

    def application(self) -> Starlette:
        """The ASGI application."""
        endpoints = {path: self._ingest(path, kind) for path, kind in ROUTES.items()}
        endpoints |= {path: self._gateway(path, *of) for path, of in GATEWAYS.items()}
        endpoints["/v1/traces"] = self._traces
        posts = [
            Route(path, self._timed(path, endpoint), methods=["POST"]) for path, endpoint in endpoints.items()
        ]
        return Starlette(
            routes=[
                *posts,
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
        watched = (self.backlog, self.policies, *((self.keyring,) if self.access.used else ()))
        await asyncio.gather(*(watch.refresh() for watch in watched))
        self.access.warn()
        watches = [asyncio.create_task(watch.run()) for watch in watched]
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
            finally:
                self._room.leave(getattr(request.state, "body_bytes", 0))
            self.metrics.requests.labels(path, response.status_code).observe(time.perf_counter() - started)
            return response

        return timed

    def _ingest(self, path: str, kind: str) -> _Endpoint:
        async def ingest(request: Request) -> Response:
            # Generated traffic says so, and every screen shows it; no other word is taken from a sender.
            source = "simulator" if request.headers.get(SOURCE_HEADER) == "simulator" else "native"
            return await self._json(
                request, path, kind, source, lambda plain, key: Mapped(*self._native(kind, plain, key), 0)
            )

        return ingest

    def _gateway(self, path: str, source: str, read: gateway.Read) -> _Endpoint:
        async def ingest(request: Request) -> Response:
            tenant = request.headers.get(TENANT_HEADER, "").strip()
            return await self._json(
                request, path, "span", source, lambda plain, key: self._entries(read, plain, tenant, key)
            )

        return ingest

    async def _json(
        self,
        request: Request,
        path: str,
        kind: str,
        source: str,
        work: Callable[[bytes, ApiKey | None], Mapped],
    ) -> Response:
        """Answer a request of records in JSON: ``work`` maps its decompressed body."""
        try:
            key = self.access.admit(request, "write")
            body = await self._body(request, path)
            mapped = await self._parse(request, body, lambda plain: work(plain, key))
            await self._queue(kind, source, mapped.records, mapped.rejects, key)
        except DeniedError as error:
            return self._denied(path, error)
        except RequestError as error:
            await self._refuse(kind, source, error, key)
            return failure(error.status, error.error, error.fix)
        except (QueueUnavailableError, BusyError) as error:
            return busy(str(error))
        self.metrics.count(
            kind,
            source,
            accepted=len(mapped.records),
            rejected=len(mapped.rejects),
            ignored=mapped.ignored,
        )
        return answer(200, IngestAnswer(accepted=len(mapped.records), rejected=told(mapped.rejects)))

    async def _traces(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        reply = otlp.JSON if content_type == otlp.JSON else otlp.PROTOBUF
        try:
            key = self.access.admit(request, "write")
            body = await self._body(request, "/v1/traces")
            if content_type not in (otlp.JSON, otlp.PROTOBUF):
                raise RequestError(
                    415,
                    f"Content-Type {content_type[:64]!r} is not OTLP",
                    f"send {otlp.PROTOBUF} or {otlp.JSON}",
                    body,
                )
            tenant = request.headers.get(TENANT_HEADER, "").strip()
            mapped = await self._parse(request, body, lambda plain: self._otlp(reply, plain, tenant, key))
            await self._queue("span", "otlp", mapped.records, mapped.rejects, key)
        except DeniedError as error:
            self.metrics.denied.labels("/v1/traces", error.status).inc()
            return otlp_failure(reply, error.status, f"{error.error}; {error.fix}", error.headers)
        except RequestError as error:
            await self._refuse("span", "otlp", error, key)
            return otlp_failure(reply, error.status, f"{error.error}; {error.fix}")
        except (QueueUnavailableError, BusyError) as error:
            return otlp_failure(reply, 503, str(error), {"Retry-After": str(RETRY_AFTER_S)})
        self.metrics.count(
            "span", "otlp", accepted=len(mapped.records), rejected=len(mapped.rejects), ignored=mapped.ignored
        )
        return Response(otlp.success(reply, len(mapped.rejects), summary(mapped.rejects)), media_type=reply)

    async def _body(self, request: Request, path: str) -> bytes:
        if self.backlog.full:
            raise QueueUnavailableError(self.backlog.why_full)
        request.state.body_bytes = 0

        def take(size: int) -> None:
            self._room.take(size)
            request.state.body_bytes += size

        settings = self._settings
        body = await read(
            request, limit=settings.max_body_bytes, timeout_s=settings.request_timeout_s, take=take
        )
        self.metrics.bytes.labels(path).inc(len(body))
        return body

    async def _parse(self, request: Request, body: bytes, work: Callable[[bytes], T]) -> T:
        """``work`` on the decompressed body."""
        encoding = request.headers.get("content-encoding", "")
        if len(body) <= (_INLINE_COMPRESSED if encoding else _INLINE_BYTES):
            try:
                plain = decompress(body, encoding, limit=min(_INLINE_BYTES, self._settings.max_decoded_bytes))
            except RequestError as error:
                if error.status != 413:
                    raise
            else:
                return work(plain)
        limit = self._settings.max_decoded_bytes
        # One slot for both steps: what is decompressed is not to pile up in front of the parser.
        async with self._parsers:
            return await asyncio.to_thread(lambda: work(decompress(body, encoding, limit=limit)))

    def _native(self, kind: str, body: bytes, key: ApiKey | None) -> native.Parsed:
        _check(body)
        parsed = native.parse(kind, body, tenants=_tenants(key))
        capture.apply(parsed.records, self.policies.current, self._redactor)
        return parsed

    def _entries(self, read: gateway.Read, body: bytes, tenant: str, key: ApiKey | None) -> Mapped:
        _check(body)
        policies = self.policies.current
        mapped = gateway.map_entries(
            body, read, tenant=tenant, tenants=_tenants(key), wants_text=policies.captures
        )
        capture.apply(mapped.records, policies, self._redactor)
        return mapped

    def _otlp(self, content_type: str, body: bytes, tenant: str, key: ApiKey | None) -> Mapped:
        policies = self.policies.current
        spans = otlp_json.decode_json(body) if content_type == otlp.JSON else otlp.decode_protobuf(body)
        mapped = map_spans(spans, tenant=tenant, tenants=_tenants(key), wants_text=policies.captures)
        capture.apply(mapped.records, policies, self._redactor)
        return mapped

    async def _queue(
        self, kind: str, source: str, records: list[Record], rejects: list[Reject], key: ApiKey | None
    ) -> None:
        """Queue the records; rejects go with the last batch, so that one acknowledgement covers all."""
        size = len(records) + len(rejects)
        if not size:
            return
        self.access.charge(key, size)
        tenants = _tenants(key) or ()
        batches = [records[start : start + MAX_BATCH] for start in range(0, len(records), MAX_BATCH)] or [[]]
        try:
            for batch in batches[:-1]:
                await publish_async(self._redis, Envelope.of(kind, source, batch, tenants=tenants))
            last = Envelope.of(kind, source, batches[-1], rejects=rejects, tenants=tenants)
            await publish_async(self._redis, last)
        except QueueUnavailableError:
            self.access.refund(key, size)
            raise

    async def _refuse(self, kind: str, source: str, error: RequestError, key: ApiKey | None) -> None:
        """Keep a trace of a request that could not be read at all."""
        reject = Reject(index=0, field="", reason=f"{error.status}: {error.error}", payload=error.head)
        self.metrics.count(kind, source, rejected=1)
        with contextlib.suppress(QueueUnavailableError, DeniedError):
            # Without the queue, or past its rate, the sender is still told; it was not going to be
            # acknowledged.
            self.access.charge(key, 1)
            await publish_async(self._redis, Envelope.of(kind, source, [], rejects=[reject]))

    # -- about the service -----------------------------------------------------------------------------------

    async def _healthz(self, _request: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    async def _readyz(self, _request: Request) -> Response:
        found = await self.backlog.refresh()
        queue = found.error or (
            f"full: {self.backlog.why_full}" if self.backlog.full else f"ok: {found.entries} batches"
        )
        ready = not found.error and not self.backlog.full
        checks = {
            "queue": queue,
            "durability": found.durability,
            "capture": self.policies.state,
            "keys": self.access.state,
        }
        return answer(200 if ready else 503, ReadyAnswer(ready=ready, checks=checks))

    def _denied(self, path: str, error: DeniedError) -> Response:
        self.metrics.denied.labels(path, error.status).inc()
        return failure(error.status, error.error, error.fix, error.headers)

    async def _metrics(self, request: Request) -> Response:
        try:
            key = self.access.admit(request, "read")
            if key is not None and key.tenants is not None:
                raise DeniedError(
                    403,
                    f"API key {key.key_id} ({key.name}) is for some tenants alone, the metrics are of all",
                    f"use a key with `--tenant {EVERY_TENANT} --scope read`",
                )
        except DeniedError as error:
            return self._denied("/metrics", error)
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def _openapi(self, _request: Request) -> Response:
        return Response(document(), media_type="application/json")


def _tenants(key: ApiKey | None) -> frozenset[str] | None:
    return None if key is None else key.tenants


def _check(body: bytes) -> None:
    if not body.strip(native.SPACE):
        raise RequestError(400, "the body is empty", "send a JSON array, NDJSON, or one JSON object")


async def _no_such_route(request: Request, _found: Exception) -> Response:
    known = ", ".join([*ROUTES, "/v1/traces", *GATEWAYS])
    return failure(
        404, f"{request.url.path} is not served here", f"the routes are {known}; see /openapi.json"
    )


async def _wrong_method(request: Request, _found: Exception) -> Response:
    method = "POST" if request.url.path.startswith("/v1/") else "GET"
    return failure(
        405, f"{request.method} is not served at {request.url.path}", f"use {method}", {"Allow": method}
    )
