"""What stands on this page: its controls and the places that a refresh fills. No data here."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from assay.dashboard import charts, controls, notices
from assay.dashboard.efficiency.selection import DEFAULT_RANGE, RANGES
from assay.dashboard.markup import attributes
from assay.dashboard.tables import Column, heading

# Every id of this page begins with it: callbacks of other pages must not find theirs here.
PREFIX = "efficiency-"
# The store of the query string of what is shown.
VIEW = f"{PREFIX}selection"

CHARTS = {
    "completion": "Completion ratio",
    "normalized": "Normalized cost",
    "cache": "Cache hit rate",
}
COLUMNS = (
    Column("prompt_template_version", "Template", "prompt template and version", False),
    Column("tenant_id", "Tenant", "", False),
    Column("request_count", "Requests", "", True),
    Column("cost_usd", "Spend", "US dollars, calls without a price left out", True),
    Column(
        "normalized_per_call_usd",
        "Normalized cost",
        "Normalized Token Cost: US dollars per call over task complexity, with what that rests on",
        True,
    ),
    Column("completion_ratio", "Completion ratio", "completion tokens per prompt token, of all models", True),
    Column(
        "flagged_days",
        "Flagged days",
        "days far above (spike) or below (drop) the median of the 28 days before",
        True,
    ),
    Column("cache_hit_rate", "Cache", "share of prompt tokens read from the provider's cache", True),
    Column(
        "missed_discount_usd",
        "Missed discount",
        "US dollars that reading 30 % of the prompt from the cache would have saved, day by day",
        True,
    ),
    Column("cost_per_conversion_usd", "Per conversion", "cost of all traces per trace that converted", True),
    Column("escalation_rate", "Escalated", "share of traces that were escalated", True),
)

# How often the page looks whether there is a newer build: one statement that reads next to nothing.
_LOOK_MS = 30_000


def layout() -> Component:
    return html.Div(
        id="efficiency",
        className="overview",
        children=[
            dcc.Location(id=f"{PREFIX}address", refresh=False),
            dcc.Store(id=VIEW),
            # Which build is on the screen.
            dcc.Store(id=f"{PREFIX}built"),
            dcc.Store(id=f"{PREFIX}tick"),
            dcc.Store(id=f"{PREFIX}colours"),
            dcc.Interval(id=f"{PREFIX}interval", interval=_LOOK_MS),
            html.H1("Efficiency", className="sr-only"),
            html.Div(id=f"{PREFIX}notice"),
            _controls(),
            html.Section(
                id=f"{PREFIX}tiles",
                className="tiles",
                **attributes(aria_label="Key figures", aria_busy="true"),
            ),
            _table(),
            _template(),
        ],
    )


def _controls() -> Component:
    return html.Section(
        className="controls",
        **attributes(aria_label="What to show"),
        children=[
            controls.labelled(
                "Days",
                dmc.SegmentedControl(
                    id=f"{PREFIX}range",
                    value=DEFAULT_RANGE,
                    data=[{"value": name, "label": name} for name in RANGES],
                    size="xs",
                    **attributes(aria_label="Days"),
                ),
            ),
            *(controls.choice(PREFIX + name, label) for name, label in controls.FILTERS.items()),
            html.Div(
                className="age",
                children=[notices.simulated(f"{PREFIX}simulated"), html.Span(id=f"{PREFIX}age")],
            ),
        ],
    )


def _table() -> Component:
    return html.Section(
        className="card",
        **attributes(aria_labelledby=f"{PREFIX}templates-title"),
        children=[
            html.Header(
                children=[
                    html.H2("Templates", id=f"{PREFIX}templates-title"),
                    html.Span(id=f"{PREFIX}note", className="unit"),
                ]
            ),
            html.Div(
                className="scroll pinned",
                # Reachable by keyboard where it is wider than the screen.
                tabIndex=0,
                role="region",
                **attributes(aria_label="Templates by tenant"),
                children=html.Table(
                    [
                        html.Thead(html.Tr([heading(column, PREFIX) for column in COLUMNS])),
                        html.Tbody(id=f"{PREFIX}rows"),
                    ]
                ),
            ),
        ],
    )


def _template() -> Component:
    return html.Section(
        className="one-template",
        **attributes(aria_label="One template by day"),
        children=[
            html.Div(
                className="controls",
                children=[
                    html.Div(
                        dmc.Select(
                            id=f"{PREFIX}drawn",
                            label="Template by day",
                            placeholder="with most flagged days",
                            searchable=True,
                            clearable=True,
                            size="xs",
                            data=[],
                            nothingFoundMessage="No such template in the table",
                        ),
                        className="drawn",
                    ),
                    html.Div(id=f"{PREFIX}flags", className="flags"),
                ],
            ),
            html.Div(
                className="charts",
                children=[charts.card(PREFIX + key, title) for key, title in CHARTS.items()],
            ),
        ],
    )
