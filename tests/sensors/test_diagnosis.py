"""What a diagnosis says, from the shapes of traffic before and after."""

from __future__ import annotations

from typing import Any

import pytest

from sensors.diagnosis import changes

SHAPE: dict[str, Any] = {
    "calls": 500,
    "models": {"small": 1.0},
    "prompt_tokens_per_call": 1000.0,
    "completion_ratio": 0.2,
    "cache_hit_rate": 0.5,
    "error_rate": 0.01,
}
DEPLOYMENT = {
    "timestamp": "2026-05-04T10:12:00+00:00",
    "model": "",
    "prompt_template_version": "rag-v2",
    "version": "r17",
    "description": "",
}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({}, []),
        ({"models": {"small": 0.2, "large": 0.8}}, ["model large went from 0% to 80% of calls"]),
        ({"models": {"small": 0.85, "large": 0.15}}, []),
        ({"completion_ratio": 0.8}, ["completion ratio × 4.00: runaway answers or context overflow"]),
        ({"completion_ratio": 0.04}, ["completion ratio × 0.20: truncated answers"]),
        ({"prompt_tokens_per_call": 2500.0}, ["prompt tokens per call × 2.50: more context per call"]),
        # Longer prompts, the same answers: the ratio falls, and nothing was cut off.
        (
            {"prompt_tokens_per_call": 2500.0, "completion_ratio": 0.08},
            ["prompt tokens per call × 2.50: more context per call"],
        ),
        ({"cache_hit_rate": 0.1}, ["cache hit rate fell from 50% to 10%"]),
        ({"cache_hit_rate": None}, []),
        ({"error_rate": 0.2}, ["error rate rose from 1% to 20%"]),
    ],
)
def test_what_changed_is_named(after: dict[str, Any], expected: list[str]) -> None:
    assert changes(SHAPE, {**SHAPE, **after}, []) == expected


def test_a_deployment_comes_first() -> None:
    after = {**SHAPE, "models": {"large": 1.0}}
    assert changes(SHAPE, after, [DEPLOYMENT]) == [
        "deployment of rag-v2 r17 at 10:12 UTC",
        "model large went from 0% to 100% of calls",
    ]


def test_without_traffic_before_nothing_is_compared() -> None:
    assert changes(None, SHAPE, []) == []
    assert changes(None, SHAPE, [DEPLOYMENT]) == ["deployment of rag-v2 r17 at 10:12 UTC"]
