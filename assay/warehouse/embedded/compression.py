"""Content encodings of requests and answers, in constant memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import lz4.frame
import zstandard

DECODABLE = ("zstd", "lz4", "gzip", "deflate")


class UnsupportedEncodingError(ValueError):
    """The request is compressed in a way that this server does not know."""


class TooLargeError(ValueError):
    """The decompressed body passes the limit."""


class Encoder(Protocol):
    """Compresses an answer chunk by chunk."""

    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class Body:
    """Collects a request body, decompressing as it arrives.

    Args:
        encoding: the request's ``Content-Encoding``.
        limit: most bytes that it may have when decompressed.

    Raises:
        UnsupportedEncodingError: for an encoding that is not in ``DECODABLE``.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._chunks: list[bytes] = []
        self._encoding = encoding if encoding not in ("", "identity") else ""
        self._raw = bytearray()
        if self._encoding and self._encoding not in DECODABLE:
            raise UnsupportedEncodingError(
                f"Content-Encoding {encoding!r} is not supported; send one of {', '.join(DECODABLE)}"
            )

    def append(self, chunk: bytes) -> None:
        """Take the next chunk as it came over the wire.

        Raises:
            TooLargeError: the body passes the limit.
        """
        self._size += len(chunk)
        self._check(self._size)
        if self._encoding:
            self._raw += chunk
        else:
            self._chunks.append(chunk)

    def read(self) -> bytes:
        """The whole body, decompressed.

        Raises:
            TooLargeError: the body passes the limit.
            ValueError: it is not what its encoding says.
        """
        if not self._encoding:
            return b"".join(self._chunks)
        try:
            data = _DECOMPRESS[self._encoding](bytes(self._raw), self._limit + 1)
        except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
            raise ValueError(f"body is not valid {self._encoding}: {error}") from error
        self._check(len(data))
        return data

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLargeError(f"body exceeds {self._limit} bytes")


def encoder(accept_encoding: str) -> tuple[str, Encoder] | None:
    """The best encoding that the client accepts, and a compressor for it."""
    accepted = {part.split(";")[0].strip().lower() for part in accept_encoding.split(",")}
    for name, make in _ENCODERS.items():
        if name in accepted:
            return name, make()
    return None


class _Lz4:
    def __init__(self) -> None:
        self._compressor = lz4.frame.LZ4FrameCompressor()
        self._head = self._compressor.begin()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._compressor.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._compressor.flush())


class _Decoder(Protocol):
    """What the decompressors of zlib and lz4 have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _frames(start: Callable[[], _Decoder]) -> Callable[[bytes, int], bytes]:
    """Decompress every frame of a body: clickhouse-connect sends one frame per block of rows."""

    def run(data: bytes, limit: int) -> bytes:
        out = bytearray()
        while data and len(out) < limit:
            decoder = start()
            out += decoder.decompress(data, limit - len(out))
            if len(out) < limit and not decoder.eof:
                raise EOFError("it ends too early")
            data = decoder.unused_data or b""
        return bytes(out)

    return run


# One compressed byte may stand for 32 KiB (a block of one repeated byte): a step stays within 32 MiB.
_ZSTD_STEP = 1024


def _unzstd(data: bytes, limit: int) -> bytes:
    # zstandard offers a bounded reader, which takes a truncated frame for a complete one, and this decoder,
    # which knows the end of a frame and is bounded by what it is given.
    out = bytearray()
    decoder = None
    for position in range(0, len(data), _ZSTD_STEP):
        piece = data[position : position + _ZSTD_STEP]
        while piece:
            decoder = decoder or zstandard.ZstdDecompressor().decompressobj()
            out += decoder.decompress(piece)
            if len(out) >= limit:
                return bytes(out)
            piece = b""
            if decoder.eof:
                piece, decoder = decoder.unused_data, None
    if decoder is not None:
        raise EOFError("it ends too early")
    return bytes(out)


# zlib's window: 16 + 15 reads gzip, 15 reads zlib ("deflate").
_DECOMPRESS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _frames(lambda: zlib.decompressobj(31)),
    "deflate": _frames(lambda: zlib.decompressobj(15)),
    "zstd": _unzstd,
    "lz4": _frames(lz4.frame.LZ4FrameDecompressor),
}
_ENCODERS: dict[str, Callable[[], Encoder]] = {
    "lz4": _Lz4,
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    "gzip": lambda: zlib.compressobj(1, zlib.DEFLATED, 31),
    "deflate": lambda: zlib.compressobj(1, zlib.DEFLATED, 15),
}
