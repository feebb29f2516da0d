"""How far an evaluator has come, and handing its scores to the queue.

Both are kept in Redis. Losing them costs little: the watermark starts again an age limit back, and what the
store has scores of is not scored again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

import redis.asyncio

from assay.collector import queue
from assay.collector.envelope import Envelope
from assay.contracts.records import Evaluation, Span, Tokens
from evaluators.candidates import OVERLAP, Candidate
from evaluators.judge import Call
from evaluators.versions import JUDGE_TASK, OWN_TENANT, SOURCE

_WATERMARKS: Final = "assay:judge:watermarks"
_KEPT: Final = timedelta(days=2)
_OVERLAP_MS: Final = int(OVERLAP.total_seconds() * 1000)


class Progress:
    """The watermark of one evaluator version, and what it has scored since.

    Args:
        client: of the server that keeps both, and the queue.
        name: ``evaluator@version``.
    """

    def __init__(self, client: redis.asyncio.Redis, name: str) -> None:
        self._client = client
        self._name = name
        self._done = f"assay:judge:done:{name}"

    async def watermark(self) -> int | None:
        """Up to which arrival (Unix milliseconds) everything is scored; None before the first time."""
        found = await self._client.hget(_WATERMARKS, self._name)
        return None if found is None else int(found)

    async def advance(self, watermark_ms: int) -> None:
        """Record that everything up to ``watermark_ms`` is scored; forget what will not be read again."""
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(_WATERMARKS, self._name, str(watermark_ms))
            pipe.zremrangebyscore(self._done, "-inf", f"({watermark_ms - _OVERLAP_MS}")
            await pipe.execute()

    async def undone(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those of the candidates that were neither scored nor skipped."""
        if not candidates:
            return []
        scores = await self._client.zmscore(self._done, [candidate.key for candidate in candidates])
        return [c for c, score in zip(candidates, scores, strict=True) if score is None]

    async def publish(self, candidates: Sequence[Candidate], evaluations: Sequence[Evaluation]) -> None:
        """Hand scores to the queue and record them as done, both or neither."""
        if not evaluations:
            return
        async with self._client.pipeline(transaction=True) as pipe:
            envelope = Envelope.of("evaluation", SOURCE, evaluations)
            pipe.xadd(queue.STREAM, queue.encode(envelope))  # type: ignore[arg-type]
            self._mark(pipe, candidates)
            await pipe.execute()

    async def skip(self, candidates: Sequence[Candidate]) -> None:
        """Record that these are not going to be scored."""
        async with self._client.pipeline(transaction=True) as pipe:
            self._mark(pipe, candidates)
            await pipe.execute()

    def _mark(self, pipe: redis.asyncio.client.Pipeline, candidates: Iterable[Candidate]) -> None:
        pipe.zadd(self._done, {candidate.key: candidate.ingested_at_ms for candidate in candidates})
        pipe.expire(self._done, _KEPT)


async def publish_call(client: redis.asyncio.Redis, call: Call, judged: Candidate, template: str) -> None:
    """Record a call of the judge's model as a span of Assay's own tenant.

    Raises:
        QueueUnavailableError: the queue did not take it.
    """
    await queue.publish_async(client, Envelope.of("span", SOURCE, [own_span(call, judged, template)]))


def own_span(call: Call, judged: Candidate, template: str) -> Span:
    """The span of a call of the judge's model.

    Args:
        call: as metered.
        judged: what it was about; named in the attributes, so that the cost can be allocated.
        template: the judge's template, ``evaluator@version``.
    """
    return Span(
        trace_id=f"judge-{call.message_id}",
        span_id=call.message_id,
        timestamp=call.at,
        model=call.model,
        response_model=call.response_model,
        provider="anthropic",
        tokens=Tokens(
            prompt=call.prompt,
            completion=call.completion,
            cached=call.cached,
            cache_write=call.cache_write,
        ),
        tenant_id=OWN_TENANT,
        latency_ms=call.latency_ms,
        task_type=JUDGE_TASK,
        prompt_template_version=template,
        finish_reason=call.finish_reason,
        attributes={"judged.tenant_id": judged.tenant_id, "judged.trace_id": judged.trace_id},
    )
