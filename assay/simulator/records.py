"""Calls of the traffic model as the records that telemetry sources would send."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from assay.contracts.records import Span, Status, Tokens
from assay.simulator import texts
from assay.simulator.traffic import ERRORS, STATUSES, Calls, model_name
from assay.simulator.world import MODELS, WORLD, World

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS: tuple[Status, ...] = STATUSES
_FINISH = ("stop", "error", "aborted")
_ARMS = ("", "control", "treatment")


def at(us: int) -> datetime:
    """The time of Unix microseconds."""
    return _EPOCH + timedelta(microseconds=us)


def template_version(template: str, number: int) -> str:
    """``rag-answer-v3``."""
    return f"{template}-v{number}"


def spans(calls: Calls, *, world: World = WORLD, with_text: bool = False) -> Iterator[Span]:
    """One span per call.

    Args:
        calls: of the traffic model.
        world: that the calls were drawn from.
        with_text: put question, retrieved documents and answer into the spans.
    """
    series = world.series
    columns = zip(
        calls.series.tolist(),
        calls.at_us.tolist(),
        calls.model.tolist(),
        calls.version.tolist(),
        calls.prompt.tolist(),
        calls.completion.tolist(),
        calls.cached.tolist(),
        calls.ttft_ms.tolist(),
        calls.latency_ms.tolist(),
        calls.status.tolist(),
        calls.error.tolist(),
        calls.user.tolist(),
        calls.arm.tolist(),
        calls.document.tolist(),
        calls.answer.tolist(),
        calls.trace.tolist(),
        strict=True,
    )
    for (
        index, at_us, model_index, number, prompt, completion, cached, ttft, latency, status, error,
        user, arm, document, answer, trace,
    ) in columns:  # fmt: skip
        customer, template = series[index]
        model = MODELS[model_name(model_index)]
        span = Span(
            trace_id=trace,
            span_id=trace[:16],
            timestamp=at(at_us),
            model=model.name,
            response_model=model.response_model,
            provider=model.provider,
            tokens=Tokens(prompt=prompt, completion=completion, cached=cached),
            tenant_id=customer.tenant_id,
            prompt_template_version=template_version(template.name, number),
            task_type=template.task_type,
            latency_ms=latency,
            ttft_ms=None if np.isnan(ttft) else ttft,
            status=_STATUS[status],
            error_type=ERRORS[error] if status == 1 else "",
            finish_reason=_FINISH[status],
            user_id="" if user < 0 else f"{customer.tenant_id}-user-{user:04d}",
            # A session is what one user does within half an hour.
            session_id="" if user < 0 else f"{customer.tenant_id}-{user:04d}-{at_us // 1_800_000_000}",
            experiment_id=world.experiment.experiment_id if arm else "",
            experiment_variant=_ARMS[arm],
            environment="production",
        )
        if with_text:
            found = texts.DOCUMENTS[document]
            span.input = found.question
            span.context = list(found.facts)
            span.output = "" if status == 1 else texts.answer_text(found, texts.ANSWERS[answer])
        yield span
