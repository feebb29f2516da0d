"""The tiles on top: each a figure over all that is in view, or what is missing where it is unknown."""

from __future__ import annotations

import pandas as pd

from assay.dashboard import format
from assay.dashboard.efficiency import words
from assay.dashboard.overview.kpis import LOW_CACHE_HIT_RATE
from assay.dashboard.tiles import Tile


def tiles(totals: pd.DataFrame) -> list[Tile]:
    """The tiles from the answer of ``queries.totals``."""
    row = {str(name): value for name, value in totals.iloc[0].items()}
    calls = format.known(row["request_count"])

    def tile(
        key: str, title: str, text: str | None, missing: str, note: str, *, flagged: bool = False
    ) -> Tile:
        return Tile(
            key=key,
            title=title,
            value=text if text is not None else (missing if calls else "no data"),
            known=text is not None,
            note=note if calls else "",
            flagged=flagged,
        )

    unpriced = format.known(row["unpriced_count"])
    hit_rate = format.known(row["cache_hit_rate"])
    low = hit_rate is not None and hit_rate < LOW_CACHE_HIT_RATE
    missed = format.known(row["missed_discount_usd"])
    sessions = format.known(row["session_count"])
    rests_on = words.complexity(row)
    unsent = "no tenant in view sends any"
    return [
        tile(
            "cost_usd",
            "Spend",
            format.money(row["cost_usd"]),
            "no price",
            words.counted(unpriced, "call") + " unpriced" if unpriced else words.counted(calls, "call"),
        ),
        tile(
            "normalized_per_call_usd",
            "Normalized cost",
            format.money(row["normalized_per_call_usd"]),
            words.no_normalized(row),
            f"per call; {rests_on}" if rests_on else words.to_time(row["unknown_tasks"]),
        ),
        tile(
            "completion_ratio",
            "Completion ratio",
            words.ratio(row["completion_ratio"]),
            "not reported",
            words.flagged(row) or "no day to compare with yet",
            flagged=bool(format.known(row["flagged_days"])),
        ),
        tile(
            "cache_hit_rate",
            "Cache hit rate",
            format.percent(hit_rate),
            "not reported",
            f"low: below {LOW_CACHE_HIT_RATE:.0%}" if low else "of prompt tokens",
            flagged=low,
        ),
        tile(
            "missed_discount_usd",
            "Missed discount",
            format.money(missed),
            words.no_missed(row),
            _missed_note(row),
            flagged=bool(missed),
        ),
        tile(
            "cost_per_conversion_usd",
            "Cost per conversion",
            format.money(row["cost_per_conversion_usd"]),
            words.no_conversion_cost(row),
            words.counted(row["converted_count"], "converted trace") or unsent,
        ),
        tile(
            "escalation_rate",
            "Escalation rate",
            format.percent(row["escalation_rate"]),
            "not sent",
            words.counted(row["escalated_count"], "escalated trace") or unsent,
        ),
        tile(
            "cost_per_session_usd",
            "Cost per session",
            format.money(row["cost_per_session_usd"]),
            "no price" if sessions else "no sessions",
            f"{words.counted(sessions, 'session')}, all calls" if sessions else "no call names one",
        ),
    ]


def _missed_note(row: words.Row) -> str:
    unknown = "* some without a price" if row["missed_unknown"] else ""
    missed = format.known(row["missed_discount_usd"])
    if missed:
        return ", ".join(filter(None, (words.priced_by(row), unknown)))
    return unknown or ("nothing below the floor" if missed == 0 else "no call says what it read")
