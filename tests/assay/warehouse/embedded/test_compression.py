from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable

import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from assay.warehouse.embedded.compression import (
    DECODABLE,
    Body,
    TooLargeError,
    UnsupportedEncodingError,
    encoder,
)

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def read(encoding: str, *chunks: bytes, limit: int = 1 << 20) -> bytes:
    body = Body(encoding, limit)
    for chunk in chunks:
        body.append(chunk)
    return body.read()


def test_every_decodable_encoding_is_tested() -> None:
    assert set(COMPRESS) == set(DECODABLE)


@pytest.mark.parametrize("encoding", DECODABLE)
@given(pieces=st.lists(st.binary(max_size=300), max_size=4), cut=st.integers(0, 40))
def test_every_frame_of_a_body_is_read(encoding: str, pieces: list[bytes], cut: int) -> None:
    """clickhouse-connect sends a frame per block of rows; the network cuts where it likes."""
    sent = b"".join(COMPRESS[encoding](piece) for piece in pieces)
    assert read(encoding, sent[:cut], sent[cut:]) == b"".join(pieces)


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_plain_bodies(encoding: str) -> None:
    assert read(encoding, b"a", b"b") == b"ab"


@pytest.mark.parametrize("encoding", DECODABLE)
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_truncated_body_is_refused(encoding: str, lost: int) -> None:
    sent = COMPRESS[encoding](os.urandom(5000)) + COMPRESS[encoding](os.urandom(5000))
    with pytest.raises(ValueError, match=f"body is not valid {encoding}"):
        read(encoding, sent[:-lost])


@pytest.mark.parametrize("encoding", DECODABLE)
@pytest.mark.parametrize("sent", [b"no such thing at all", b"\x00" * 64])
def test_rubbish_is_refused_also_after_a_frame(encoding: str, sent: bytes) -> None:
    for prefix in (b"", COMPRESS[encoding](b"fine")):
        with pytest.raises(ValueError, match=f"body is not valid {encoding}"):
            read(encoding, prefix + sent)


@pytest.mark.parametrize("encoding", DECODABLE)
def test_a_bomb_is_refused_at_the_limit(encoding: str) -> None:
    with pytest.raises(TooLargeError, match="exceeds 65536 bytes"):
        read(encoding, COMPRESS[encoding](bytes(1 << 26)), limit=1 << 16)


def test_limits_are_inclusive() -> None:
    assert len(read("", bytes(100), limit=100)) == 100
    assert len(read("zstd", COMPRESS["zstd"](bytes(100)), limit=100)) == 100
    with pytest.raises(TooLargeError):
        read("", bytes(101), limit=100)


def test_unknown_encoding_is_named_with_what_is_known() -> None:
    with pytest.raises(UnsupportedEncodingError, match="'br' is not supported; send one of zstd, lz4"):
        Body("br", 10)


@pytest.mark.parametrize(
    ("accepts", "name"),
    [
        ("lz4", "lz4"),
        ("gzip, zstd;q=0.9", "zstd"),
        ("GZIP", "gzip"),
        ("deflate", "deflate"),
        ("br", None),
        ("", None),
    ],
)
def test_answers_are_encoded_as_the_client_accepts(accepts: str, name: str | None) -> None:
    found = encoder(accepts)
    if name is None:
        assert found is None
        return
    assert found is not None
    assert found[0] == name
    sent = found[1].compress(b"a" * 1000) + found[1].compress(b"b") + found[1].flush()
    assert read(name, sent) == b"a" * 1000 + b"b"
