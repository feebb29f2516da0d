"""The parts of this page that are neither tiles nor charts, made from the answers of a refresh. What is
unknown is said in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from assay.dashboard import format
from assay.dashboard.address import UNNAMED
from assay.dashboard.efficiency import words
from assay.dashboard.efficiency.layout import COLUMNS
from assay.dashboard.efficiency.selection import Selection, Template
from assay.dashboard.efficiency.words import Row
from assay.dashboard.overview.kpis import LOW_CACHE_HIT_RATE
from assay.dashboard.tables import figure

Children = list[Any]

REBUILD = "`dbt build --select efficiency_daily` in dbt_project"
# The build is hourly and takes a minute: three hours old is one that failed twice.
_LATE = timedelta(hours=3)


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
                dcc.Link(
                    version or UNNAMED,
                    href=replace(selection, drawn=Template(tenant, version)).href,
                    title="Draw it by day",
                )
            ),
            html.Td(
                dcc.Link(tenant, href=replace(selection, tenants=(tenant,)).href, title=f"Show only {tenant}")
            ),
            figure(calls, ""),
            figure(format.money(row["cost_usd"]), "no price", title=unpriced_note, partial=bool(unpriced)),
            figure(
                format.money(row["normalized_per_call_usd"]),
                words.no_normalized(row),
                beside=words.complexity(row) or words.untimed(row),
                title=None if words.complexity(row) else words.to_time(row["unknown_tasks"]),
            ),
            figure(words.ratio(row["completion_ratio"]), "not reported"),
            figure(words.flagged(row), "too few days", flagged=bool(format.known(row["flagged_days"]))),
            figure(
                format.percent(hit_rate),
                "not reported",
                flagged=low,
                title=f"below {LOW_CACHE_HIT_RATE:.0%}" if low else None,
            ),
            figure(
                format.money(missed),
                words.no_missed(row),
                flagged=bool(missed),
                partial=bool(row["missed_unknown"]) and missed is not None,
                title=words.priced_by(row) if missed else None,
            ),
            figure(
                format.money(row["cost_per_conversion_usd"]),
                words.no_conversion_cost(row),
                title=words.counted(row["converted_count"], "converted trace") or None,
            ),
            figure(
                format.percent(row["escalation_rate"]),
                "not sent",
                title=words.counted(row["escalated_count"], "escalated trace") or None,
            ),
        ]
    )


def note(frame: pd.DataFrame, selection: Selection) -> str:
    """How much of what there is the table shows, and what a star means."""
    if frame.empty:
        return ""
    found = int(frame["found"].iloc[0])
    parts = [f"{len(frame)} of {found:,}" if found > len(frame) else f"{found:,}"]
    starred = (frame["unpriced_count"] > 0) & frame["cost_usd"].notna()
    starred |= (frame["missed_unknown"] > 0) & frame["missed_discount_usd"].notna()
    if bool(starred.any()):
        parts.append("* without what has no price")
    if selection.models:
        parts.append("completion ratio and flagged days are of all models")
    return "; ".join(parts)


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
    elapsed = max(now - built, timedelta())
    said = f"built {format.moment(built)} UTC, {format.age(elapsed)} ago; anew every hour"
    if elapsed < _LATE:
        return [said]
    late = f"{said}. That is late: see hourly_efficiency_schedule in Dagster, or {REBUILD}."
    return [html.Span(late, className="late")]


def absence(built: datetime | None, selection: Selection) -> Children:
    """Why there is nothing to see, and what to do."""
    if built is None:
        told = "These figures are built anew every hour. To have them at once: "
        return _notice("No call was in the store when these figures were built.", [told, REBUILD, "."])
    wider = replace(selection, tenants=(), models=(), templates=(), range="30d")
    label = "Clear the filters" if selection.filtered else "Show 30 days"
    where = " with these filters." if selection.filtered else "."
    more = [dcc.Link(label, href=wider.href)] if wider != selection else []
    return _notice(f"No traffic in this range{where}", more)


def not_built() -> Children:
    """The store is from before this page."""
    told = f"`assay up` builds it; on a store of your own run {REBUILD}."
    return _notice("The store has no table `efficiency_daily` yet.", [told], failed=True)


def drawable(frame: pd.DataFrame, selection: Selection) -> Template | None:
    """The template of the charts: the chosen one, else the one in the table with most flagged days."""
    if selection.shown is not None or frame.empty:
        return selection.shown
    flagged = frame["flagged_days"].astype("float64").fillna(0)
    row = frame.iloc[int(flagged.to_numpy().argmax())]
    return Template(str(row["tenant_id"]), str(row["prompt_template_version"]))


def offered(frame: pd.DataFrame, of: Template | None) -> list[Template]:
    """The templates that can be drawn: those in the table, and the one that is."""
    listed = zip(frame["tenant_id"], frame["prompt_template_version"], strict=True)
    return sorted({*(Template(str(t), str(v)) for t, v in listed), *([of] if of else [])})


def moment_of(built: pd.DataFrame) -> datetime | None:
    """When the mart was built, from the answer of ``queries.built``."""
    found = built["built"].iloc[0]
    return None if pd.isna(found) else pd.Timestamp(found).tz_convert(UTC).to_pydatetime(warn=False)


def _notice(strong: str, told: Sequence[Any], *, failed: bool = False) -> Children:
    inner = [html.Strong(strong), html.Div(list(told))]
    return [
        html.Div(inner, className="notice failed", role="alert")
        if failed
        else html.Div(inner, className="notice")
    ]
