"""The parts of this page that are not charts, made from the answers of a refresh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from dash import dcc, html
from dash.development.base_component import Component

from assay.dashboard import format
from assay.dashboard.address import UNNAMED
from assay.dashboard.charts import Group
from assay.dashboard.markup import attributes
from assay.dashboard.overview import acknowledgement
from assay.dashboard.overview.kpis import LOW_CACHE_HIT_RATE
from assay.dashboard.overview.layout import COLUMNS
from assay.dashboard.overview.selection import CUSTOM, Selection
from assay.dashboard.tables import figure
from assay.dashboard.tiles import Tile, drawn
from evaluators.versions import OWN_TENANT

Children = list[Any]

# From here on failed calls are worth a look; single failures are part of every provider's day.
_HIGH_ERROR_RATE = 0.05
# Whose an alert is that names no tenant: a price that is missing is missing for all of them.
_ALL_TENANTS = "all tenants"


def tiles(found: Sequence[Tile], selection: Selection) -> Children:
    """The figures on top. What is unknown is said in words, in the place of the figure."""
    span = "same time before" if selection.range == CUSTOM else f"previous {selection.range}"
    compared = any(tile.change is not None and tile.known for tile in found)
    note = html.P(f"Changes: against the {span}", className="compared") if compared else None
    return [*(drawn(tile, span) for tile in found), note]


def legend(groups: Sequence[Group], selection: Selection) -> Children:
    """One legend for all charts. A member links to the page filtered by it."""
    if selection.group_by is None:
        return []
    return [
        html.Span(_chip(group), className="member")
        if group.member is None
        else dcc.Link(
            [*_chip(group), _own(selection.group_by, group.name)],
            href=_only(selection, selection.group_by, group.name).href,
            className="member",
            title=f"Show only {group.name}",
        )
        for group in groups
    ]


def _chip(group: Group) -> Children:
    return [html.Span(className="chip", style={"background": group.colour}), group.name]


def _own(dimension: str, name: str) -> Component | None:
    """What a tenant is that nobody has heard of: Assay itself, whose judge calls models, too."""
    own = dimension == "tenant_id" and name == OWN_TENANT
    return html.Span("(the judge's own calls)", className="own") if own else None


def alerts(frame: pd.DataFrame, selection: Selection, now: datetime) -> Children:
    """Open and acknowledged alerts, and a banner while a page is open."""
    if frame.empty:
        return [html.Div([html.Span(className="dot good"), "No open alerts"], className="quiet")]
    found, pages = int(frame["found"].iloc[0]), int(frame["pages"].iloc[0])
    parts: Children = []
    if pages:
        words = "1 page is open" if pages == 1 else f"{pages} pages are open"
        paged = frame[frame["level"] == "page"]
        # Of pages that are not all among the rows, some may be nobody's yet.
        taken = len(paged) == pages and bool((paged["status"] == "acknowledged").all())
        tenants = sorted({str(t) or _ALL_TENANTS for t in paged["tenant_id"]})
        who = ", ".join(tenants[:4]) + (" and others" if len(tenants) > 4 else "")
        parts.append(
            html.Div(
                [html.Strong(f"{words}, acknowledged" if taken else words), html.Span(f"Tenants: {who}")],
                className="banner taken" if taken else "banner",
                role="alert",
            )
        )
    rows = [_alert(row, selection, now) for _, row in frame.iterrows()]
    parts.append(html.Ul(rows, className="alert-list"))
    if found > len(rows):
        parts.append(html.Div(f"{len(rows)} of {found} open alerts", className="quiet"))
    return parts


def _alert(row: pd.Series[Any], selection: Selection, now: datetime) -> Component:
    opened = pd.Timestamp(row["opened_at"]).tz_convert(UTC).to_pydatetime(warn=False)
    summary = str(row["summary"])
    # The summary names what the alert is about first; that is not said twice.
    series = " · ".join(
        str(v) for v in (row["model"], row["prompt_template_version"]) if v and v not in summary
    )
    who = str(row["acknowledged_by"] or "")
    acknowledged = row["status"] == "acknowledged"
    level, tenant = str(row["level"]), str(row["tenant_id"])
    return html.Li(
        className=f"alert {level}",
        **attributes(data_alert=str(row["alert_id"])),
        children=[
            html.Span(level, className=f"level {level}"),
            _whose(tenant, str(row["model"]), selection),
            html.Span(
                [html.Span(summary, className="summary"), html.Span(series, className="series")],
                className="what",
            ),
            html.Span(
                f"{format.age(now - opened)} ago" if now > opened else "just now",
                className="since",
                title=f"since {format.moment(opened)} UTC",
            ),
            html.Span(f"acknowledged by {who}" if who else "acknowledged", className="status")
            if acknowledged
            else html.Span(
                [
                    "open",
                    acknowledgement.button(
                        str(row["alert_id"]), f"{level}, {tenant or _ALL_TENANTS}, {summary}"
                    ),
                ],
                className="status",
            ),
        ],
    )


def _whose(tenant: str, model: str, selection: Selection) -> Component:
    """Where an alert leads to: its tenant, or, of an alert on everybody's calls, its model."""
    if not tenant and not model:
        return html.Span(_ALL_TENANTS, className="tenant")
    dimension, name = ("tenant_id", tenant) if tenant else ("model", model)
    href = _only(selection, dimension, name).href
    return dcc.Link(tenant or _ALL_TENANTS, href=href, className="tenant", title=f"Show only {name}")


def rows(frame: pd.DataFrame, selection: Selection) -> Children:
    """The table's rows, or one that says why there are none."""
    if frame.empty:
        return [html.Tr(html.Td("No traffic in this range", colSpan=len(COLUMNS), className="none"))]
    return [_row(row, selection) for row in frame.to_dict("records")]


def _row(row: dict[Any, Any], selection: Selection) -> Component:
    calls, unpriced = int(row["request_count"]), int(row["unpriced_count"])
    hit_rate = format.known(row["cache_hit_rate"])
    scores = format.count(row["evaluation_count"])
    spend_note = (
        f"{format.count(unpriced)} of {format.count(calls)} calls have no price" if unpriced else None
    )
    cells = [
        html.Td(_link(selection, "tenant_id", row["tenant_id"])),
        html.Td(_link(selection, "model", row["model"])),
        html.Td(_link(selection, "prompt_template_version", row["prompt_template_version"])),
        figure(format.count(calls), ""),
        figure(format.percent(row["error_rate"]), "", flagged=row["error_rate"] >= _HIGH_ERROR_RATE),
        figure(format.money(row["cost_usd"]), "no price", title=spend_note, partial=bool(unpriced)),
        figure(format.money(row["cost_p50_usd"]), "no price"),
        figure(format.milliseconds(row["latency_p95_ms"]), "not reported"),
        figure(format.rate(row["velocity_p50"]), "not reported"),
        figure(
            format.percent(hit_rate),
            "not reported",
            flagged=hit_rate is not None and hit_rate < LOW_CACHE_HIT_RATE,
            title=f"below {LOW_CACHE_HIT_RATE:.0%}"
            if hit_rate is not None and hit_rate < LOW_CACHE_HIT_RATE
            else None,
        ),
        figure(format.score(row["quality_mean"]), "not judged", title=f"{scores} scores" if scores else None),
    ]
    return html.Tr(cells)


def _link(selection: Selection, dimension: str, value: object) -> Component:
    name = str(value) or UNNAMED
    link = dcc.Link(name, href=_only(selection, dimension, name).href, title=f"Show only {name}")
    own = _own(dimension, name)
    return link if own is None else html.Span([link, " ", own])


def _only(selection: Selection, dimension: str, name: str) -> Selection:
    """``selection`` narrowed to one tenant, model or template."""
    if dimension == "tenant_id":
        return replace(selection, tenants=(name,))
    if dimension == "model":
        return replace(selection, models=(name,))
    return replace(selection, templates=(name,))


def table_note(frame: pd.DataFrame) -> str:
    """How much of what there is the table shows."""
    if frame.empty:
        return ""
    found = int(frame["found"].iloc[0])
    partial = bool(((frame["unpriced_count"] > 0) & frame["cost_usd"].notna()).any())
    note = f"{len(frame)} of {found:,}" if found > len(frame) else f"{found:,}"
    return f"{note}; * some calls have no price and are left out" if partial else note


def absence(newest: datetime | None, selection: Selection, collector: str) -> Children:
    """Why there is nothing to see, and where to look instead."""
    if newest is None:
        text = (
            f"No call has arrived yet. Send traces to {collector}/v1/traces (OTLP) or {collector}/v1/spans."
        )
        return [html.Div([html.Strong("No traffic yet."), html.Div(text)], className="notice")]
    filtered = selection.filtered or selection.cohort != "production"
    wider = Selection() if filtered else replace(selection, range="30d", since=None, until=None)
    label = "Clear the filters" if filtered else "Show the last 30 days"
    return [
        html.Div(
            [
                html.Strong("No traffic in this range" + (" with these filters." if filtered else ".")),
                html.Div(
                    [
                        f"The latest call in the store is of {format.moment(newest)} UTC. ",
                        dcc.Link(label, href=wider.href),
                    ]
                ),
            ],
            className="notice",
        )
    ]
