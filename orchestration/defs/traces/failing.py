"""Checks that began to fail, or no longer do, as a message to the channel of alerts.

Dagster shows a failed check to whoever looks. A check fails once and stays failed until it is judged again:
only what changed is told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster import AssetCheckKey
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

# Slack shows a message of some thousand characters whole.
_MOST_LINES = 20
_LONGEST = 200
_FAILED = AssetCheckExecutionRecordStatus.FAILED
_JUDGED = {_FAILED, AssetCheckExecutionRecordStatus.SUCCEEDED}


@dataclass(frozen=True)
class News:
    """What to say, empty where nothing changed, and what has been said then."""

    text: str
    cursor: str
    summary: str


def read(instance: dg.DagsterInstance, keys: Sequence[AssetCheckKey]) -> dict[str, str]:
    """Checks whose newest evaluation failed, ``asset · check``, with what it found.

    One that is being evaluated, or whose evaluation crashed, is as it was before: a run that fails is seen
    as that.
    """
    failing = {}
    storage = instance.event_log_storage
    for key, newest in storage.get_latest_asset_check_execution_by_key(list(keys)).items():
        # A run has a record of each check that it is going to evaluate as soon as it begins.
        is_judged = newest.status in _JUDGED
        records = [newest] if is_judged else storage.get_asset_check_execution_history(key, 1, status=_JUDGED)
        if not records or records[0].status is not _FAILED or records[0].event is None:
            continue
        evaluation = records[0].event.asset_check_evaluation
        if evaluation is not None:
            severity = (
                "blocks what is built on it" if evaluation.blocking else evaluation.severity.value.lower()
            )
            found = (evaluation.description or "failed")[:_LONGEST]
            failing[name(key)] = f"{found} ({severity})"
    return failing


def name(key: AssetCheckKey) -> str:
    """A check as people are told of it."""
    return f"{key.asset_key.to_user_string()} · {key.name}"


def decide(failing: Mapping[str, str], cursor: str | None, known: Collection[str]) -> News:
    """What is new.

    Args:
        failing: of :func:`read`.
        cursor: names of the checks that were told to fail.
        known: names of the checks that there are: one that is gone, or called otherwise, does not pass.
    """
    told = set(json.loads(cursor)) & set(known) if cursor else set()
    lines = [f"Check failed: {check}: {failing[check]}" for check in sorted(failing.keys() - told)]
    lines += [f"Check passes again: {check}" for check in sorted(told - failing.keys())]
    if len(lines) > _MOST_LINES:
        lines = [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES} more"]
    return News(
        text="\n".join(lines),
        cursor=json.dumps(sorted(failing)),
        summary=f"failing checks: {', '.join(sorted(failing)) or 'none'}",
    )
