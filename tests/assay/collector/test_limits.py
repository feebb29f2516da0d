"""What a sender can cost the collector: slow, large, many and dishonest requests."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from assay.collector.body import BusyError, RequestError, Room, decompress
from tests.assay.collector.conftest import Collector
from tests.assay.collector.samples import live
from tests.support.processes import answers, free_port, python, running, wait_for
from tests.support.stores import Valkey

MEMBER = gzip.compress(b"")
FRAME = zstandard.compress(b"")
# A frame that does not tell its size; each of its blocks says "128 KiB of zeros" in four bytes.
RLE = (
    struct.pack("<I", 0xFD2FB528) + b"\x00\x68" + (struct.pack("<I", (1 << 17) << 3 | 2)[:3] + b"\x00") * 4000
)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(bytes(1 << 24))),
        ("gzip", gzip.compress(bytes(1 << 20)) * 16),
        ("deflate", zlib.compress(bytes(1 << 24))),
        ("zstd", zstandard.compress(bytes(1 << 24))),
        ("zstd", RLE),
    ],
)
def test_a_bomb_is_given_up_at_the_limit(encoding: str, body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        decompress(body, encoding, limit=1 << 20)
    assert refused.value.status == 413


def test_a_frame_that_wants_more_memory_than_it_may_is_refused() -> None:
    """RFC 9659: a window of 8 MiB, and no more."""
    for window_log, taken in ((23, True), (24, False)):
        parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
        stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        body = stream.compress(b"[]") + stream.flush()
        if taken:
            assert decompress(body, "zstd", limit=10) == b"[]"
        else:
            with pytest.raises(RequestError, match="memory"):
                decompress(body, "zstd", limit=10)


@pytest.mark.parametrize(("encoding", "member"), [("gzip", MEMBER), ("zstd", FRAME)])
def test_empty_parts_are_counted(encoding: str, member: bytes) -> None:
    assert decompress(member * 4096, encoding, limit=10) == b""
    # Copying the rest for each of them would take hours.
    with pytest.raises(RequestError, match="more than 4096 parts"):
        decompress(member * ((16 << 20) // len(member)), encoding, limit=10)


@given(
    st.lists(st.binary(max_size=200_000).map(lambda piece: piece * 3), max_size=4),
    st.sampled_from([("gzip", gzip.compress), ("zstd", zstandard.compress)]),
)
def test_parts_are_put_together(pieces: list[bytes], codec: tuple[str, Callable[[bytes], bytes]]) -> None:
    encoding, compress = codec
    body = b"".join(compress(piece) for piece in pieces)
    whole = b"".join(pieces)
    assert decompress(body, encoding, limit=len(whole)) == whole
    if whole:
        with pytest.raises(RequestError) as refused:
            decompress(body[:-1], encoding, limit=len(whole))
        assert refused.value.status == 400


@given(st.sampled_from(["gzip", "deflate", "zstd"]), st.binary(max_size=200), st.integers(0, 200))
def test_any_bytes_are_an_answer(encoding: str, noise: bytes, at: int) -> None:
    good = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[encoding](b"{}" * 50)  # type: ignore[operator]
    for body in (noise, good[:at] + noise, good + noise):
        try:
            decompress(body, encoding, limit=1 << 20)
        except RequestError as error:
            assert error.status in (400, 413)  # noqa: PT017 - not raising is right as well


def test_room_is_taken_and_left() -> None:
    room = Room(10)
    room.take(7)
    with pytest.raises(BusyError, match="7 bytes"):
        room.take(4)
    room.leave(7)
    room.take(10)
    assert room.taken == 10


@pytest.fixture(scope="module")
def tight(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Host and port of a collector with little patience."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {
        "ASSAY_COLLECTOR_PORT": str(port),
        "ASSAY_REDIS_URL": valkey.url.replace("/0", "/5"),
        "ASSAY_CLICKHOUSE_URL": f"http://127.0.0.1:{free_port()}",
        "ASSAY_MAX_BODY_BYTES": str(1 << 20),
        "ASSAY_MAX_WAITING_BYTES": str(1 << 20),
        "ASSAY_MAX_CONNECTIONS": "20",
        "ASSAY_REQUEST_TIMEOUT_S": "1.5",
    }
    log = tmp_path_factory.mktemp("tight") / "log.txt"
    with running(python("assay.collector"), ready=answers(f"{url}/readyz"), log=log, env=env):
        yield "127.0.0.1", port
    assert "Traceback" not in log.read_text()


def connection(at: tuple[str, int], start: bytes) -> socket.socket:
    found = socket.create_connection(at, timeout=20)
    found.sendall(start)
    return found


def until_closed(peer: socket.socket) -> bytes:
    """What the other side still sends before it closes the connection."""
    found = b""
    try:
        while part := peer.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


HEAD = b"POST /v1/spans HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("start", [b"", b"POST", HEAD, HEAD + b"X-Slow: aaa"])
def test_a_head_that_does_not_come_closes_the_connection(tight: tuple[str, int], start: bytes) -> None:
    with connection(tight, start) as peer:
        assert until_closed(peer) == b""


def test_a_byte_now_and_then_is_not_enough(tight: tuple[str, int]) -> None:
    with connection(tight, HEAD) as peer, pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):  # noqa: PT012
        for _ in range(200):
            peer.sendall(b"X-Slow: a\r\n")
            time.sleep(0.1)


def test_a_body_that_does_not_come_is_refused(tight: tuple[str, int]) -> None:
    with connection(tight, HEAD + b"Content-Length: 100\r\n\r\n[") as peer:
        # Nor may the rest keep it open.
        answer = until_closed(peer)
        assert b" 408 " in answer.splitlines()[0]
        assert b"did not arrive within 1.5 s" in answer


def test_bodies_find_room_or_a_busy_answer(tight: tuple[str, int]) -> None:
    length = b"Content-Length: %d\r\n\r\n" % (700 << 10)
    with connection(tight, HEAD + length + b" " * (690 << 10)) as first:
        time.sleep(0.3)
        body = b" " * (600 << 10)
        with httpx.Client(base_url=f"http://127.0.0.1:{tight[1]}", trust_env=False, timeout=20) as http:
            answer = http.post("/v1/spans", content=body)
            assert answer.status_code == 503
            assert "bytes of requests are in memory" in answer.json()["error"]
            assert int(answer.headers["retry-after"]) > 0
            otlp = http.post("/v1/traces", content=body, headers={"Content-Type": "application/json"})
            assert (otlp.status_code, otlp.json()["code"]) == (503, 14)
            # What is small still fits, and the room is free again when the slow one is gone.
            assert http.post("/v1/spans", json=live()).status_code == 200
            first.close()
            wait_for(lambda: http.post("/v1/spans", content=body).status_code == 400, "room", 10)


def test_connections_are_limited_and_come_back(tight: tuple[str, int]) -> None:
    url = f"http://127.0.0.1:{tight[1]}"
    idle = [connection(tight, HEAD) for _ in range(25)]
    assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 503
    wait_for(answers(f"{url}/healthz"), "connections", 10)
    for peer in idle:
        peer.close()


def test_bombs_do_not_grow_the_process(collector: Collector) -> None:
    """Sixteen at a time, each of which would be 64 MiB: the limit here is 8."""
    port = httpx.URL(collector.url).port
    (pid,) = {
        c.pid
        for c in psutil.net_connections("tcp")
        if c.status == "LISTEN" and c.laddr and c.laddr.port == port
    }
    process = psutil.Process(pid)
    before = process.memory_info().rss
    bomb = zstandard.compress(bytes(64 << 20))
    with (
        httpx.Client(base_url=collector.url, trust_env=False, timeout=60) as http,
        ThreadPoolExecutor(16) as senders,
    ):
        found = senders.map(
            lambda _: http.post("/v1/spans", content=bomb, headers={"Content-Encoding": "zstd"}), range(32)
        )
        assert {answer.status_code for answer in found} == {413}
    assert process.memory_info().rss - before < 400 << 20


def nested(depth: int) -> Any:
    return json.dumps(live()).replace(
        '"tokens"', '"attributes": ' + '{"a":' * depth + "1" + "}" * depth + ', "tokens"'
    )


@pytest.mark.parametrize("body", [nested(20_000), "[" * 500_000, "[1," * 300_000, '{"a":' * 150_000])
def test_deep_and_long_bodies_are_rejects(collector: Collector, body: str) -> None:
    answer = collector.http.post("/v1/spans", content=body.encode())
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 0
    assert answer.json()["rejected"]
