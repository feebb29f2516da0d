"""Whether a service does its work, asked over the protocol that its users speak."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import redis.asyncio
from redis.exceptions import RedisError

Check = Callable[[], Awaitable[str]]

_TIMEOUT_S = 3.0


def http(url: str) -> Check:
    """A check that ``GET url`` answers 200."""

    async def check() -> str:
        try:
            # Our own services speak plain HTTP: loading the list of authorities at every check would cost
            # more than the check.
            async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, verify=False) as client:
                answer = await client.get(url)
        except httpx.HTTPError as error:
            return f"GET {url}: {error or type(error).__name__}"
        return (
            ""
            if answer.status_code == httpx.codes.OK
            else f"GET {url}: {answer.status_code} {answer.text[:200]}"
        )

    return check


def redis_ping(url: str) -> Check:
    """A check that the Redis-protocol server answers ``PING`` (and is not still loading its file)."""

    async def check() -> str:
        try:
            async with redis.asyncio.Redis.from_url(url, socket_timeout=_TIMEOUT_S) as client:
                await client.ping()
        except (RedisError, OSError) as error:
            return f"PING {url}: {error}"
        return ""

    return check


def heartbeat(url: str, key: str, *, max_age_s: float) -> Check:
    """A check that the hash ``key`` exists and its ``at`` (Unix seconds) is recent."""

    async def check() -> str:
        try:
            async with redis.asyncio.Redis.from_url(url, socket_timeout=_TIMEOUT_S) as client:
                at = await client.hget(key, "at")
                seconds, _ = await client.time()
        except (RedisError, OSError) as error:
            return f"{key}: {error}"
        if at is None:
            return f"{key}: no heartbeat yet"
        age = seconds - float(at)
        return "" if age <= max_age_s else f"{key}: last heartbeat {age:.0f} s ago"

    return check
