"""Calls and scores with known figures, generated with numpy and inserted straight into the raw tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client


@dataclass(frozen=True)
class Stream:
    """One kind of traffic. Costs are log-normal around their median, scores are normal around theirs.

    ``judged`` is the share of calls with a score, ``judge_delay_s`` how long after the call it is made.
    """

    tenant_id: str = "org_1"
    template: str = "rag-v1"
    model: str = "small"
    per_minute: float = 10.0
    cost_usd: float = 0.002
    quality: float = 0.85
    judged: float = 1.0
    judge_delay_s: float = 5.0
    experiment_id: str = ""
    evaluator: str = "judge"
    prompt_tokens: int = 1000
    completion_tokens: int = 200
    cached_tokens: int = 500
    cost_sigma: float = 0.4
    quality_sigma: float = 0.08

    def but(self, **changes: object) -> Self:
        """The same traffic, changed."""
        return replace(self, **changes)


def write(client: Client, stream: Stream, start: datetime, end: datetime, *, seed: int = 1) -> int:
    """Insert the stream's calls (and their scores) from ``start`` to ``end``, evenly spaced; how many
    calls.
    """
    rng = np.random.default_rng(seed)
    seconds = (end - start).total_seconds()
    count = round(stream.per_minute * seconds / 60)
    if count == 0:
        return 0
    micros = (np.arange(count) + 0.5) * (seconds * 1e6 / count)
    begin = int(start.timestamp() * 1_000_000)
    times = begin + micros.astype(np.int64)
    cost = stream.cost_usd * np.exp(stream.cost_sigma * rng.standard_normal(count))
    ids = [f"{stream.tenant_id}-{stream.template}-{stream.model}-{begin}-{seed}-{n}" for n in range(count)]
    dimensions = {
        "tenant_id": pa.array([stream.tenant_id] * count),
        "model": pa.array([stream.model] * count),
        "prompt_template_version": pa.array([stream.template] * count),
        "experiment_id": pa.array([stream.experiment_id] * count),
        "trace_id": pa.array(ids),
        "span_id": pa.array(["1"] * count),
        "retention_start": pa.array([start.date()] * count, pa.date32()),
        "source": pa.array(["test"] * count),
    }
    stamp = pa.timestamp("us", tz="UTC")
    client.insert_arrow(
        "llm_traces",
        pa.table(
            {
                **dimensions,
                "timestamp": pa.array(times, stamp),
                "prompt_tokens": pa.array([stream.prompt_tokens] * count, pa.uint32()),
                "completion_tokens": pa.array([stream.completion_tokens] * count, pa.uint32()),
                "cached_tokens": pa.array([stream.cached_tokens] * count, pa.uint32()),
                "billed": pa.array([True] * count),
                "cost_usd": pa.array([Decimal(f"{value:.12f}") for value in cost], pa.decimal128(38, 12)),
                "cost_status": pa.array(["priced"] * count),
                "status": pa.array(["ok"] * count),
            }
        ),
    )
    judged = np.flatnonzero(rng.random(count) < stream.judged)
    if judged.size:
        scores = np.clip(stream.quality + stream.quality_sigma * rng.standard_normal(judged.size), 0, 1)
        client.insert_arrow(
            "llm_evaluations",
            pa.table(
                {
                    **{name: values.take(pa.array(judged)) for name, values in dimensions.items()},
                    "span_timestamp": pa.array(times[judged], stamp),
                    "timestamp": pa.array(times[judged] + int(stream.judge_delay_s * 1e6), stamp),
                    "evaluator": pa.array([stream.evaluator] * judged.size),
                    "evaluator_version": pa.array(["v1"] * judged.size),
                    "score": pa.array(scores),
                    "confidence": pa.array(np.full(judged.size, 0.9)),
                    "sampling_rate": pa.array(np.full(judged.size, stream.judged)),
                }
            ),
        )
    return count


def write_history(client: Client, stream: Stream, end: datetime, days: int, *, per_hour: int = 20) -> None:
    """``days`` days up to ``end``, thinned to ``per_hour`` calls an hour: baselines need hours, not calls."""
    write(client, stream.but(per_minute=per_hour / 60), end - timedelta(days=days), end, seed=7)
