"""The queue between collector and writer: one Redis stream, one consumer group.

An envelope counts as accepted once ``XADD`` has answered: from then on it is the queue's to keep (append-only
file) and the writer's to store.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import redis
import redis.asyncio

from assay.collector.envelope import Envelope

STREAM: Final = "assay:ingest"
GROUP: Final = "writer"
FIELD: Final = b"e"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


class QueueUnavailableError(RuntimeError):
    """The queue did not take an envelope: nothing was acknowledged, the sender should retry."""


def load_counts_key(load_id: str) -> str:
    """Hash in which the writer counts ``accepted``, ``duplicates`` and ``rejected`` of a load."""
    return f"assay:load:{load_id}"


def encode(envelope: Envelope) -> dict[bytes, bytes]:
    """The stream entry of an envelope."""
    return {FIELD: _encoder.encode(envelope)}


def decode(entry: dict[bytes, bytes]) -> Envelope:
    """The envelope of a stream entry.

    Raises:
        msgspec.DecodeError: the entry was not written by :func:`encode`.
    """
    return _decoder.decode(entry[FIELD])


def publish(client: redis.Redis, envelope: Envelope) -> str:
    """Append an envelope; return its entry id.

    Raises:
        QueueUnavailableError: the server cannot be reached, or refuses to write.
    """
    try:
        return _text(client.xadd(STREAM, encode(envelope)))  # type: ignore[arg-type]
    except redis.RedisError as error:
        raise QueueUnavailableError(f"queue did not take the batch: {error}") from error


async def publish_async(client: redis.asyncio.Redis, envelope: Envelope) -> str:
    """:func:`publish` for asyncio."""
    try:
        return _text(await client.xadd(STREAM, encode(envelope)))  # type: ignore[arg-type]
    except redis.RedisError as error:
        raise QueueUnavailableError(f"queue did not take the batch: {error}") from error


async def publish_noted(
    client: redis.asyncio.Redis, envelopes: Sequence[Envelope], key: str, note: bytes
) -> None:
    """Append envelopes and set ``key`` to ``note``, all or nothing: who reads a source notes how far it came.

    Raises:
        QueueUnavailableError: the server cannot be reached, or refuses to write.
    """
    try:
        async with client.pipeline(transaction=True) as pipe:
            for envelope in envelopes:
                pipe.xadd(STREAM, encode(envelope))  # type: ignore[arg-type]
            pipe.set(key, note)
            await pipe.execute()
    except redis.RedisError as error:
        raise QueueUnavailableError(f"queue did not take the batch: {error}") from error


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
