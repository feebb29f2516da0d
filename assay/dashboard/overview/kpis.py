"""The tiles on top: each a figure, how it compares with the period before, and what is missing if it is
unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from assay.dashboard import format
from assay.dashboard.overview.selection import Evaluator
from assay.dashboard.tiles import Better, Tile

Row = Mapping[str, Any]

# Where prefix caching is in use, a rate below this suggests prompt templates that vary too early in the text.
LOW_CACHE_HIT_RATE = 0.30


def tiles(totals: pd.DataFrame, quality: pd.DataFrame, evaluator: Evaluator | None) -> list[Tile]:
    """The tiles from the answers of ``queries.totals`` and ``queries.quality_totals``.

    Args:
        totals: one row per window with traffic.
        quality: one row per window and evaluator.
        evaluator: whose scores; ``None`` for the one with the most scores in the shown window.
    """
    now, before = _row(totals, 0), _row(totals, 1)
    whose = evaluator or most_used(quality)
    scores_now, scores_before = _scores(quality, whose, 0), _scores(quality, whose, 1)
    calls = format.known(now.get("request_count")) or 0

    def tile(
        key: str,
        title: str,
        write: Callable[[Any], str | None],
        missing: str,
        *,
        note: str = "",
        better: Better = "neither",
        flagged: bool = False,
        figure: Callable[[Row], Any] | None = None,
    ) -> Tile:
        read = figure or (lambda row: row.get(key))
        text = write(read(now))
        return Tile(
            key=key,
            title=title,
            value=text if text is not None else (missing if calls else "no data"),
            known=text is not None,
            note=note if calls else "",
            change=format.change(read(now), read(before)),
            better=better,
            flagged=flagged,
        )

    hit_rate = format.known(now.get("cache_hit_rate"))
    low = hit_rate is not None and hit_rate < LOW_CACHE_HIT_RATE
    unpriced = _unpriced(now)
    mean = format.score(scores_now.get("quality_mean"))
    return [
        tile("cost_usd", "Spend", format.money, "no price", note=_spend_note(now), better="down"),
        tile("request_count", "Requests", format.count, "", note=_error_note(now)),
        tile(
            "cost_p50_usd",
            "Cost per call, p50",
            format.money,
            "no price",
            note="median call",
            better="down",
        ),
        tile(
            "latency_p95_ms",
            "Latency, p95",
            format.milliseconds,
            "not reported",
            note=_latency_note(now),
            better="down",
        ),
        tile(
            "velocity_p50",
            "Token velocity, p50",
            format.rate,
            "not reported",
            note="completion tokens/s",
            better="up",
        ),
        tile(
            "cache_hit_rate",
            "Cache hit rate",
            format.percent,
            "not reported",
            note=f"low: below {LOW_CACHE_HIT_RATE:.0%}" if low else "of prompt tokens",
            better="up",
            flagged=low,
        ),
        Tile(
            key="quality_mean",
            title="Quality, mean",
            value=mean if mean is not None else ("not judged" if calls else "no data"),
            known=mean is not None,
            note=_quality_note(scores_now, whose),
            change=format.change(scores_now.get("quality_mean"), scores_before.get("quality_mean")),
            better="up",
        ),
        tile(
            "unpriced_share",
            "Unpriced calls",
            format.percent,
            "",
            note="left out of spend" if unpriced else "all calls priced",
            better="down",
            flagged=bool(unpriced),
            figure=_unpriced,
        ),
    ]


def most_used(quality: pd.DataFrame) -> Evaluator | None:
    """The evaluator with the most scores in the shown window; ``None`` where nothing was judged."""
    rows = quality[(quality["previous"] == 0) & (quality["evaluation_count"] > 0)]
    if rows.empty:
        return None
    best = rows.sort_values(
        ["evaluation_count", "evaluator", "evaluator_version"], ascending=[False, True, True]
    ).iloc[0]
    return Evaluator(str(best["evaluator"]), str(best["evaluator_version"]))


def _row(frame: pd.DataFrame, previous: int) -> Row:
    rows = frame[frame["previous"] == previous]
    return {} if rows.empty else {str(k): v for k, v in rows.iloc[0].items()}


def _scores(quality: pd.DataFrame, evaluator: Evaluator | None, previous: int) -> Row:
    if evaluator is None:
        return {}
    return _row(
        quality[
            (quality["evaluator"] == evaluator.name) & (quality["evaluator_version"] == evaluator.version)
        ],
        previous,
    )


def _unpriced(row: Row) -> float | None:
    calls = format.known(row.get("request_count"))
    return float(row["unpriced_count"]) / calls if calls else None


def _spend_note(row: Row) -> str:
    return (
        f"{format.count(row['unpriced_count'])} calls unpriced"
        if row.get("unpriced_count")
        else "all calls priced"
    )


def _error_note(row: Row) -> str:
    calls = format.known(row.get("request_count"))
    return f"{format.percent(row['error_count'] / calls)} errors" if calls else ""


def _latency_note(row: Row) -> str:
    median = format.milliseconds(row.get("latency_p50_ms"))
    return f"p50 {median}" if median else ""


def _quality_note(scores: Row, evaluator: Evaluator | None) -> str:
    if evaluator is None:
        return ""
    judged = format.count(scores.get("evaluation_count")) or "0"
    return f"{judged} scores"
