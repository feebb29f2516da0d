"""The raw tables as assets. Their rows come from the collector's writer; Dagster only watches."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

GROUP = "telemetry"


def _raw(name: str, description: str, *, warn: timedelta, fail: timedelta) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        group_name=GROUP,
        description=description,
        kinds={"clickhouse"},
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn),
    )


# Calls arrive all day and evaluations within minutes of them. What people do comes in at their pace.
llm_traces = _raw(
    "llm_traces",
    "Token accounting: one row per call of a model.",
    warn=timedelta(minutes=10),
    fail=timedelta(minutes=20),
)
llm_evaluations = _raw(
    "llm_evaluations",
    "Quality evaluation: one row per score. Fresh as long as the judge works.",
    warn=timedelta(minutes=15),
    fail=timedelta(hours=1),
)
business_outcomes = _raw(
    "business_outcomes",
    "Conversions, escalations and retention signals.",
    warn=timedelta(hours=24),
    fail=timedelta(hours=48),
)
end_user_feedback = _raw(
    "end_user_feedback",
    "What end users thought of answers.",
    warn=timedelta(hours=24),
    fail=timedelta(hours=48),
)
# Without a new label in a month the calibration of the judge says little about today's traffic.
human_labels = _raw(
    "human_labels",
    "Human ratings of traces, against which evaluators are calibrated.",
    warn=timedelta(days=14),
    fail=timedelta(days=30),
)

ASSETS = [llm_traces, llm_evaluations, business_outcomes, end_user_feedback, human_labels]
