"""The incident: when it is on, kept in Redis so that a command can start one in a running simulator."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import redis
import redis.asyncio

from assay.contracts.records import Deployment
from assay.simulator import records
from assay.simulator.world import WORLD, World

KEY: Final = "assay:simulator:incident"
# The deployment that causes it is recorded this long before.
LEAD: Final = timedelta(seconds=20)


@dataclass(frozen=True)
class Incident:
    """From ``start`` to before ``end`` one template is on another model."""

    start: datetime
    end: datetime

    def on(self, now: datetime) -> bool:
        """Whether it is on."""
        return self.start <= now < self.end

    def announced(self, now: datetime) -> bool:
        """Whether the deployment that causes it has been rolled out."""
        return self.start - LEAD <= now < self.end


def schedule(client: redis.Redis, incident: Incident) -> None:
    """Let the running simulator (or the next one) show the incident; replaces one scheduled before."""
    client.hset(KEY, mapping={"start": incident.start.isoformat(), "end": incident.end.isoformat()})


async def scheduled(client: redis.asyncio.Redis) -> Incident | None:
    """The incident last scheduled, which may be over."""
    found = await client.hgetall(KEY)
    if not found:
        return None
    start, end = (datetime.fromisoformat(_text(found[name])) for name in (b"start", b"end"))
    return Incident(start.astimezone(UTC), end.astimezone(UTC))


def deployment(incident: Incident, *, world: World = WORLD) -> Deployment:
    """What was rolled out before the incident. It does not mention the model: nobody noticed its change."""
    shift = world.shift
    return Deployment(
        timestamp=incident.start - LEAD,
        tenant_id=shift.tenant_id,
        prompt_template_version=records.template_version(shift.template, 3),
        version=f"rag-service {incident.start:%Y.%m.%d-%H%M}",
        description=shift.description,
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
