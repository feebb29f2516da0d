"""Request bodies: read and decompressed within limits."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import zstandard
from starlette.requests import Request

_STEP: Final = 1 << 20


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


async def read(request: Request, *, limit: int) -> bytes:
    """The body as it was sent.

    Raises:
        RequestError: 413, longer than ``limit`` bytes.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit, b"")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit, chunks[0] if chunks else chunk)
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
    rest = body
    while rest:
        stream = zlib.decompressobj(wbits)
        while not stream.eof:
            data = stream.decompress(rest, _STEP)
            out += data
            rest = stream.unconsumed_tail or stream.unused_data
            if len(out) > limit:
                raise _too_large(limit, body)
            if not stream.eof and not rest and len(data) < _STEP:
                raise _broken(name, "the data ends too early", body)
        # gzip files may be several streams, one after the other.
        rest = stream.unused_data
    return bytes(out)


def _zstd(body: bytes, limit: int) -> bytes:
    out = bytearray()
    rest = body
    while rest:
        stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        # decompressobj has no output limit: small slices of input keep a bomb from growing far past it.
        position = 0
        while not stream.eof and position < len(rest):
            out += stream.decompress(rest[position : position + 256])
            position += 256
            if len(out) > limit:
                raise _too_large(limit, body)
        if not stream.eof:
            raise _broken("zstd", "the data ends too early", body)
        rest = stream.unused_data + rest[position:]
    return bytes(out)


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
