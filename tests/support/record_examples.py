"""One full example of every record, as a source would send it."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, dict[str, Any]] = {
    "span": {
        "trace_id": "abc123",
        "span_id": "gateway-001",
        "timestamp": "2024-01-15T09:23:47.123Z",
        "model": "claude-3-sonnet-20240229",
        "tokens": {"prompt": 1247, "completion": 342, "cached": 800},
        "cost_usd": 0.00471,
        "latency_ms": 1843,
        "quality": {"evaluator": "llm-as-judge-v2", "score": 0.87, "confidence": 0.92},
        "tenant_id": "org_42",
        "prompt_template_version": "rag-v3.2",
    },
    "evaluation": {
        "trace_id": "abc123",
        "span_id": "gateway-001",
        "evaluator": "llm-as-judge",
        "evaluator_version": "v2",
        "score": 0.87,
        "verdict": "faithful",
        "confidence": 0.92,
        "timestamp": "2024-01-15T09:24:02+01:00",
        "sampling_rate": 0.1,
    },
    "outcome": {
        "trace_id": "abc123",
        "event": "conversion",
        "value": 49.9,
        "timestamp": "2024-01-15T10:00:00Z",
    },
    "feedback": {
        "trace_id": "abc123",
        "user_id": "u7",
        "value": -1,
        "comment": "wrong city",
        "timestamp": "2024-01-15T09:30:00Z",
    },
    "label": {
        "trace_id": "abc123",
        "rater": "anna",
        "score": 0.75,
        "rubric": "faithfulness",
        "timestamp": "2024-01-16T08:00:00Z",
    },
    "task_time": {
        "task_type": "claim-summary",
        "human_minutes": 12.5,
        "source": "time study 2023",
        "timestamp": "2023-11-01T00:00:00Z",
    },
    "canonical_example": {"task_type": "claim-summary", "text": "Summarise the claim.", "complexity": 2.5},
    "invoice": {
        "provider": "anthropic",
        "model": "claude-3-sonnet-20240229",
        "period_start": "2024-01-01",
        "period_end": "2024-02-01",
        "amount_usd": "1234.56",
    },
    "deployment": {
        "timestamp": "2024-01-15T09:00:00Z",
        "tenant_id": "org_42",
        "prompt_template_version": "rag-v3.2",
        "version": "2024.01.15-1",
        "description": "Longer contexts",
    },
    "incident": {
        "id": "inc-1",
        "tenant_id": "org_42",
        "start": "2024-01-15T09:00:00Z",
        "end": "2024-01-15T10:00:00Z",
        "expected": "page",
        "family": "model-swap",
        "description": "Cost × 3",
    },
    "tenant": {
        "tenant_id": "org_42",
        "name": "Example Ltd",
        "tier": "high_value",
        "time_zone": "Europe/Berlin",
        "currency": "EUR",
        "cost_centre": "CC-7",
        "risk_class": "regulated",
        "capture": "sampled",
    },
}
