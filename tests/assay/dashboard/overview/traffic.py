"""Calls and scores of many kinds, as rows of the store and as frames: what the screens must agree with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client

from tests.support.rows import evaluation, insert, span


@dataclass(frozen=True)
class Traffic:
    """``calls`` and ``scores`` as they were inserted, one row each."""

    calls: pd.DataFrame
    scores: pd.DataFrame


def generate(client: Client, end: datetime, *, count: int = 3000, days: float = 40, seed: int = 5) -> Traffic:
    """Insert ``count`` calls over the ``days`` before ``end``, denser towards it, a third of them judged."""
    rng = np.random.default_rng(seed)
    ages = days * 86_400 * rng.random(count) ** 4
    calls, scores = [], []
    for index in range(count):
        time = end - timedelta(seconds=float(ages[index]))
        unpriced = rng.random() < 0.1
        prompt = int(rng.integers(100, 5000))
        call = span(
            time,
            tenant_id=f"org_{rng.integers(1, 5)}",
            model=str(rng.choice(["large", "small"])),
            prompt_template_version=str(rng.choice(["rag-v1", "chat-v2", ""])),
            trace_id=f"t{index}",
            experiment_id="exp-1" if rng.random() < 0.1 else "",
            status=str(rng.choice(["ok", "ok", "ok", "error"])),
            prompt_tokens=prompt,
            completion_tokens=int(rng.integers(1, 800)),
            cached_tokens=int(prompt * rng.random()) if rng.random() < 0.7 else None,
            cost_usd=None if unpriced else Decimal(int(rng.lognormal(20, 1))) / 10**12,
            cost_status="unpriced" if unpriced else "priced",
            latency_ms=float(rng.lognormal(7, 0.8)) if rng.random() < 0.9 else None,
            # A parent that repeats its children is stored and never counted.
            billed=bool(rng.random() < 0.95),
        )
        calls.append(call)
        if rng.random() < 0.34:
            scores.append(
                evaluation(
                    time,
                    **{name: call[name] for name in ("tenant_id", "model", "prompt_template_version")},
                    trace_id=call["trace_id"],
                    experiment_id=call["experiment_id"],
                    evaluator_version="2" if rng.random() < 0.3 else "1",
                    score=None if rng.random() < 0.1 else float(rng.random()),
                    sampling_rate=float(rng.choice([1.0, 0.1])),
                )
            )
    insert(client, "llm_traces", *calls)
    insert(client, "llm_evaluations", *scores)
    frames = Traffic(pd.DataFrame(calls), pd.DataFrame(scores))
    frames.calls["cost_usd"] = frames.calls["cost_usd"].astype(object)
    return frames
