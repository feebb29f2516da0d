"""Request bodies: read and decompressed within limits."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Final

import zstandard
from starlette.requests import Request

_STEP: Final = 1 << 20
_PIECE: Final = 1 << 16
# RFC 9659, section 3: what a sender may ask a receiver to keep in memory.
_ZSTD_WINDOW: Final = 8 << 20
# bgzip and pzstd write a member for every 64 KiB or more; a body of empty members costs time and holds
# nothing.
_MOST_MEMBERS: Final = 4096


class RequestError(Exception):
    """A request that cannot be read as a whole.

    Attributes:
        status: HTTP status of the answer.
        error: what is wrong.
        fix: what the sender can do about it.
        head: the first bytes of the body, for ``ingest_rejects``.
    """

    def __init__(self, status: int, error: str, fix: str, head: bytes = b"") -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.fix = fix
        # Enough to tell gzip from JSON from protobuf, too little to hold what somebody said.
        self.head = head[:16]


class BusyError(RuntimeError):
    """Too much is under way already: nothing was accepted, the sender should retry."""


class Room:
    """What all bodies that are in memory may take together.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    def take(self, size: int) -> None:
        """Count ``size`` bytes more.

        Raises:
            BusyError: there is no room; nothing was counted.
        """
        if self.taken + size > self._limit:
            raise BusyError(
                f"{self.taken} bytes of requests are in memory, the most allowed is {self._limit}"
            )
        self.taken += size

    def leave(self, size: int) -> None:
        """Bytes that are not held any more."""
        self.taken -= size


async def read(request: Request, *, limit: int, timeout_s: float, take: Callable[[int], None]) -> bytes:
    """The body as it was sent.

    Args:
        request: whose body was not read yet.
        limit: most bytes.
        timeout_s: for the whole of it, so that a byte now and then does not hold a connection for ever.
        take: called with the size of each part before it is kept; what it raises ends the reading.

    Raises:
        RequestError: 413, longer than ``limit`` bytes; 408, not there in time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(request, limit, take)
    except TimeoutError:
        raise RequestError(
            408,
            f"the body did not arrive within {timeout_s:g} s",
            "send smaller requests, or over a faster line",
        ) from None


async def _read(request: Request, limit: int, take: Callable[[int], None]) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit, b"")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit, chunks[0] if chunks else chunk)
        take(len(chunk))
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def decompress(body: bytes, encoding: str, *, limit: int) -> bytes:
    """The body without its ``Content-Encoding``.

    Raises:
        RequestError: 415 for an unknown encoding, 413 for more than ``limit`` bytes, 400 for broken data.
    """
    name = encoding.strip().lower() or "identity"
    if name not in _DECODERS:
        raise RequestError(
            415,
            f"Content-Encoding {encoding[:64]!r} is not known",
            "send the body as it is, or compressed with gzip, deflate or zstd",
            body,
        )
    try:
        return _DECODERS[name](body, limit)
    except (zlib.error, zstandard.ZstdError) as error:
        raise _broken(name, str(error), body) from error


def _identity(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit, body)
    return body


def _gzip(body: bytes, limit: int) -> bytes:
    return _inflate(body, limit, zlib.MAX_WBITS | 16, "gzip")


def _deflate(body: bytes, limit: int) -> bytes:
    # HTTP means zlib's format; some clients send raw deflate under the name.
    try:
        return _inflate(body, limit, zlib.MAX_WBITS, "deflate")
    except zlib.error:
        return _inflate(body, limit, -zlib.MAX_WBITS, "deflate")


def _inflate(body: bytes, limit: int, wbits: int, name: str) -> bytes:
    out = bytearray()
    view = memoryview(body)
    position = members = 0
    # gzip files may be several streams, one after the other.
    while position < len(view):
        members = _next_member(members, name, body)
        stream = zlib.decompressobj(wbits)
        while not stream.eof:
            piece: bytes | memoryview = stream.unconsumed_tail
            if not piece:
                # In pieces: what follows a stream is copied into `unused_data`, and must not be all the rest.
                piece = view[position : position + _PIECE]
                position += len(piece)
            data = stream.decompress(piece, _STEP)
            out += data
            if len(out) > limit:
                raise _too_large(limit, body)
            if not piece and not data:
                raise _broken(name, "the data ends too early", body)
        position -= len(stream.unused_data)
    return bytes(out)


def _zstd(body: bytes, limit: int) -> bytes:
    out = bytearray()
    view = memoryview(body)
    position = members = 0
    while position < len(view):
        members = _next_member(members, "zstd", body)
        stream = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        # decompressobj has no output limit: small slices of input keep a bomb from growing far past it. (Four
        # bytes of zstd can say "128 KiB of this".)
        while not stream.eof:
            if position >= len(view):
                raise _broken("zstd", "the data ends too early", body)
            piece = view[position : position + 256]
            position += len(piece)
            out += stream.decompress(piece)
            if len(out) > limit:
                raise _too_large(limit, body)
        position -= len(stream.unused_data)
    return bytes(out)


def _next_member(members: int, name: str, body: bytes) -> int:
    if members == _MOST_MEMBERS:
        raise _broken(name, f"it consists of more than {_MOST_MEMBERS} parts", body)
    return members + 1


_DECODERS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "identity": _identity,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}


def _too_large(limit: int, head: bytes) -> RequestError:
    return RequestError(
        413, f"the body is larger than {limit} bytes", "send fewer records in each request", head
    )


def _broken(name: str, why: str, body: bytes) -> RequestError:
    return RequestError(
        400, f"the body is not {name}: {why}", f"send whole {name} data, or no Content-Encoding", body
    )
