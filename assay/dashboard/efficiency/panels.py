"""The parts of this page that are not charts, made from the answers of a refresh. What is unknown is said in
words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from assay.dashboard import format
from assay.dashboard.address import UNNAMED
from assay.dashboard.efficiency.layout import COLUMNS
from assay.dashboard.efficiency.selection import Selection, Template
from assay.dashboard.overview.kpis import LOW_CACHE_HIT_RATE
from assay.dashboard.tables import figure
from assay.dashboard.tiles import Tile, drawn

Children = list[Any]
Row = Mapping[Any, Any]

REBUILD = "`dbt build --select efficiency_daily` in dbt_project"
# The build is hourly and takes a minute: three hours old is one that failed twice.
_LATE = timedelta(hours=3)
_PRICED_BY: Mapping[tuple[str, ...], str] = {
    ("calls",): "at what the month's calls were charged",
    ("list",): "at list prices",
}


def tiles(totals: pd.DataFrame) -> Children:
    """The figures on top, from the answer of ``queries.totals``."""
    row = {str(name): value for name, value in totals.iloc[0].items()}
    calls = format.known(row["request_count"])

    def tile(
        key: str, title: str, text: str | None, missing: str, note: str, flagged: bool = False
    ) -> Component:
        value = text if text is not None else (missing if calls else "no data")
        known = text is not None
        return drawn(Tile(key, title, value, known, note if calls else "", flagged=flagged))

    unpriced = format.known(row["unpriced_count"])
    hit_rate = format.known(row["cache_hit_rate"])
    low = hit_rate is not None and hit_rate < LOW_CACHE_HIT_RATE
    missed = format.known(row["missed_discount_usd"])
    sessions = format.count(row["session_count"])
    return [
        tile(
            "cost_usd",
            "Spend",
            format.money(row["cost_usd"]),
            "no price",
            f"{format.count(unpriced)} calls unpriced" if unpriced else f"{format.count(calls)} calls",
        ),
        tile(
            "normalized_per_call_usd",
            "Normalized Token Cost",
            format.money(row["normalized_per_call_usd"]),
            _no_normalized(row),
            f"per call; {_complexity(row)}" if _complexity(row) else "nobody was timed, no examples",
        ),
        tile(
            "completion_ratio",
            "Completion ratio",
            _ratio(row["completion_ratio"]),
            "not reported",
            _flagged(row) or "no day to compare with yet",
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
            "Missed cache discount",
            format.money(missed),
            "no price" if row["missed_unknown"] else "not reported",
            _missed_note(row),
            flagged=bool(missed),
        ),
        tile(
            "cost_per_conversion_usd",
            "Cost per conversion",
            format.money(row["cost_per_conversion_usd"]),
            "no price" if format.known(row["converted_count"]) else "no conversions",
            f"{format.count(row['converted_count'])} converted traces"
            if format.known(row["converted_count"])
            else "no tenant sent any",
        ),
        tile(
            "escalation_rate",
            "Escalation rate",
            format.percent(row["escalation_rate"]),
            "no escalations",
            f"{format.count(row['escalated_count'])} traces"
            if format.known(row["escalation_rate"]) is not None
            else "no tenant sent any",
        ),
        tile(
            "cost_per_session_usd",
            "Cost per session",
            format.money(row["cost_per_session_usd"]),
            "no price" if sessions else "no sessions",
            f"{sessions} sessions, all their calls" if sessions else "no call names one",
        ),
    ]


def rows(frame: pd.DataFrame, selection: Selection) -> Children:
    """The table's rows, or one that says why there are none."""
    if frame.empty:
        return [html.Tr(html.Td("No traffic in this range", colSpan=len(COLUMNS), className="none"))]
    return [_row(row, selection) for row in frame.to_dict("records")]


def _row(row: Row, selection: Selection) -> Component:
    tenant, version = str(row["tenant_id"]), str(row["prompt_template_version"])
    calls, unpriced = format.count(row["request_count"]), int(row["unpriced_count"])
    hit_rate = format.known(row["cache_hit_rate"])
    low = hit_rate is not None and hit_rate < LOW_CACHE_HIT_RATE
    missed = format.known(row["missed_discount_usd"])
    unpriced_note = f"{format.count(unpriced)} of {calls} calls have no price" if unpriced else None
    return html.Tr(
        [
            html.Td(
                dcc.Link(tenant, href=replace(selection, tenants=(tenant,)).href, title=f"Show only {tenant}")
            ),
            html.Td(
                dcc.Link(
                    version or UNNAMED,
                    href=replace(selection, drawn=Template(tenant, version)).href,
                    title="Draw it by day",
                )
            ),
            figure(calls, ""),
            figure(format.money(row["cost_usd"]), "no price", title=unpriced_note, partial=bool(unpriced)),
            figure(
                format.money(row["normalized_per_call_usd"]),
                _no_normalized(row),
                beside=_complexity(row) or _unknown_tasks(row),
            ),
            figure(_ratio(row["completion_ratio"]), "not reported"),
            figure(_flagged(row), "too few days", flagged=bool(format.known(row["flagged_days"]))),
            figure(
                format.percent(hit_rate),
                "not reported",
                flagged=low,
                title=f"below {LOW_CACHE_HIT_RATE:.0%}" if low else None,
            ),
            figure(
                format.money(missed),
                "no price" if row["missed_unknown"] else "not reported",
                flagged=bool(missed),
                partial=bool(row["missed_unknown"]) and missed is not None,
                title=_priced_by(row) if missed else None,
            ),
            figure(
                format.money(row["cost_per_conversion_usd"]),
                "no price" if format.known(row["converted_count"]) else "no conversions",
                title=f"{format.count(row['converted_count'])} converted traces",
            ),
            figure(
                format.percent(row["escalation_rate"]),
                "no escalations",
                title=f"{format.count(row['escalated_count'])} traces",
            ),
        ]
    )


def note(frame: pd.DataFrame, selection: Selection) -> str:
    """How much of what there is the table shows, and what a star means."""
    if frame.empty:
        return ""
    found = int(frame["found"].iloc[0])
    words = [f"{len(frame)} of {found:,}" if found > len(frame) else f"{found:,}"]
    if bool(((frame["unpriced_count"] > 0) | (frame["missed_unknown"] > 0)).any()):
        words.append("* without what has no price")
    if selection.models:
        words.append("completion ratio and flagged days are of all models")
    return "; ".join(words)


def flags(days: pd.DataFrame) -> Children:
    """The flagged days of the drawn template in words."""
    found: Children = []
    for row in days.to_dict("records"):
        for flag, word in (("day_is_verbosity_spike", "spike"), ("day_is_truncation_drop", "drop")):
            if format.known(row[flag]):
                times = row["day_completion_ratio"] / row["day_trailing_median"]
                cut = format.percent(row["day_length_finish_share"])
                at_limit = f", {cut} ended by the token limit" if cut else ""
                found.append(html.Li(f"{row['period']:%d %b}: {word}, × {times:.2f} of its median{at_limit}"))
    if found:
        return [html.Ul(found)]
    known = days["day_is_verbosity_spike"].notna().any() if len(days) else False
    return ["No day is flagged." if known else "Too few days with enough calls to compare with."]


def age(built: datetime | None, now: datetime) -> Children:
    """How old every figure of the page is."""
    if built is None:
        return ["not built since calls arrived"]
    words = (
        f"built {format.moment(built)} UTC, {format.age(max(now - built, timedelta()))} ago; anew every hour"
    )
    if now - built < _LATE:
        return [words]
    late = f"{words}. That is late: see hourly_efficiency_schedule in Dagster, or {REBUILD}."
    return [html.Span(late, className="late")]


def absence(built: datetime | None, selection: Selection) -> Children:
    """Why there is nothing to see, and what to do."""
    if built is None:
        words = "These figures are built anew every hour. To have them at once: "
        return _notice("No call was in the store when these figures were built.", [words, REBUILD, "."])
    wider = replace(selection, tenants=(), models=(), templates=(), range="30d")
    label = "Clear the filters" if selection.filtered else "Show 30 days"
    where = " with these filters." if selection.filtered else "."
    more = [dcc.Link(label, href=wider.href)] if wider != selection else []
    return _notice(f"No traffic in this range{where}", more)


def not_built() -> Children:
    """The store is from before this page."""
    words = f"`assay up` builds it; on a store of your own run {REBUILD}."
    return _notice("The store has no table `efficiency_daily` yet.", [words], failed=True)


def drawable(frame: pd.DataFrame, selection: Selection) -> Template | None:
    """The template of the charts: the chosen one, else the one in the table with most flagged days."""
    if selection.drawn is not None or frame.empty:
        return selection.drawn
    flagged = frame["flagged_days"].astype("float64").fillna(0)
    row = frame.iloc[int(flagged.to_numpy().argmax())]
    return Template(str(row["tenant_id"]), str(row["prompt_template_version"]))


def offered(frame: pd.DataFrame, of: Template | None) -> list[Template]:
    """The templates that can be drawn: those in the table, and the one that is."""
    listed = zip(frame["tenant_id"], frame["prompt_template_version"], strict=True)
    return sorted({*(Template(str(t), str(v)) for t, v in listed), *([of] if of else [])})


def _notice(strong: str, words: Sequence[Any], *, failed: bool = False) -> Children:
    inner = [html.Strong(strong), html.Div(list(words))]
    return [
        html.Div(inner, className="notice failed", role="alert")
        if failed
        else html.Div(inner, className="notice")
    ]


def _ratio(value: Any) -> str | None:
    number = format.known(value)
    return None if number is None else f"{number:.3f}"


def _flagged(row: Row) -> str | None:
    """Spikes and drops in words; ``None`` where no day could be compared."""
    if format.known(row["flagged_days"]) is None:
        return None
    found = [
        f"{int(row[f'{kind}_days'])} {kind}{'s' if row[f'{kind}_days'] != 1 else ''}"
        for kind in ("spike", "drop")
        if row[f"{kind}_days"]
    ]
    return ", ".join(found) or "none"


def _no_normalized(row: Row) -> str:
    if row["complexity_scales"] > 1:
        return "on two scales"
    return "no price" if row["complexity_scales"] else "complexity unknown"


def _complexity(row: Row) -> str:
    """What the complexity rests on, and of how many of the calls it is known; empty where of none."""
    sources = [str(source) for source in row["complexity_sources"]]
    if not sources:
        return ""
    share = row["normalized_count"] / row["request_count"]
    part = f", {format.percent(share)} of calls" if share < 1 else ""
    return f"{' + '.join(sources)}, n = {format.count(row['complexity_samples'])}{part}"


def _unknown_tasks(row: Row) -> str:
    names = [str(name) for name in row["unknown_tasks"]]
    if not names:
        return ""
    return f"task {', '.join(filter(None, names))}" if any(names) else "no task_type sent"


def _priced_by(row: Row) -> str:
    sources = tuple(str(source) for source in row["missed_sources"])
    return _PRICED_BY.get(sources, "at charged and list prices")


def _missed_note(row: Row) -> str:
    unknown = "* some without a price" if row["missed_unknown"] else ""
    if not format.known(row["missed_discount_usd"]):
        return unknown or "nothing below the floor"
    return ", ".join(filter(None, (_priced_by(row), unknown)))


def moment_of(built: pd.DataFrame) -> datetime | None:
    """When the mart was built, from the answer of ``queries.built``."""
    found = built["built"].iloc[0]
    return None if pd.isna(found) else pd.Timestamp(found).tz_convert(UTC).to_pydatetime(warn=False)
