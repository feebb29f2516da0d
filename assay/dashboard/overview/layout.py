"""What stands on this page: its controls and the places that a refresh fills. No data here."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from assay.dashboard import charts, controls
from assay.dashboard.markup import attributes
from assay.dashboard.overview import acknowledgement
from assay.dashboard.overview.selection import CUSTOM, DEFAULT_RANGE, RANGES, UNGROUPED
from assay.dashboard.tables import Column, heading

# Chart ids with their titles, in reading order.
CHARTS = {
    "spend": "Spend",
    "requests": "Requests",
    "latency": "Latency",
    "quality": "Quality",
    "cache": "Cache hit rate",
    "velocity": "Token velocity",
}

# The store of the query string of what is shown.
VIEW = "selection"

COLUMNS = (
    Column("tenant_id", "Tenant", "", False),
    Column("model", "Model", "", False),
    Column("prompt_template_version", "Template", "prompt template and version", False),
    Column("request_count", "Requests", "", True),
    Column("error_rate", "Errors", "share of calls that failed", True),
    Column("cost_usd", "Spend", "US dollars, calls without a price left out", True),
    Column("cost_p50_usd", "Cost p50", "median US dollars per call", True),
    Column("latency_p95_ms", "Latency p95", "95th percentile of the time per call", True),
    Column("velocity_p50", "Tokens/s p50", "median completion tokens per second of streaming", True),
    Column("cache_hit_rate", "Cache", "share of prompt tokens read from the provider's cache", True),
    Column("quality_mean", "Quality", "mean score, weighted by 1 / sampling rate", True),
)


def layout() -> Component:
    return html.Div(
        id="overview",
        className="overview",
        children=[
            dcc.Location(id="address", refresh=False),
            dcc.Store(id=VIEW),
            dcc.Store(id="tick"),
            dcc.Store(id="colours"),
            dcc.Store(id="newest"),
            # Which list of alerts is on the screen.
            dcc.Store(id="drawn"),
            dcc.Interval(id="interval", disabled=True),
            dcc.Interval(id="second", interval=1000),
            html.H1("Overview", className="sr-only"),
            html.Div(id="notice"),
            html.Section(id="alerts", **attributes(aria_label="Open alerts")),
            *acknowledgement.parts(),
            _controls(),
            html.Section(
                id="tiles", className="tiles", **attributes(aria_label="Key figures", aria_busy="true")
            ),
            html.Div(id="legend", className="legend"),
            html.Div(className="charts", children=[charts.card(key, title) for key, title in CHARTS.items()]),
            _table(),
        ],
    )


def _controls() -> Component:
    ranges = [{"value": name, "label": name} for name in RANGES] + [{"value": CUSTOM, "label": "Custom"}]
    return html.Section(
        className="controls",
        **attributes(aria_label="What to show"),
        children=[
            controls.labelled(
                "Range",
                dmc.SegmentedControl(
                    id="range", value=DEFAULT_RANGE, data=ranges, size="xs", **attributes(aria_label="Range")
                ),
            ),
            html.Div(
                id="custom",
                className="custom",
                hidden=True,
                children=[
                    dmc.DateTimePicker(
                        id=name, label=f"{label} (UTC)", size="xs", valueFormat="DD MMM YYYY HH:mm", w=165
                    )
                    for name, label in (("from", "From"), ("to", "To"))
                ],
            ),
            *(controls.choice(name, label) for name, label in controls.FILTERS.items()),
            html.Div(
                dmc.Select(
                    id="group",
                    label="Charts by",
                    value="tenant_id",
                    allowDeselect=False,
                    size="xs",
                    data=[
                        {"value": "tenant_id", "label": "Tenant"},
                        {"value": "model", "label": "Model"},
                        {"value": "prompt_template_version", "label": "Template"},
                        {"value": UNGROUPED, "label": "All calls"},
                    ],
                ),
                className="grouping",
            ),
            html.Div(
                dmc.Select(
                    id="evaluator",
                    label="Evaluator",
                    placeholder="with most scores",
                    clearable=True,
                    size="xs",
                    data=[],
                ),
                className="evaluator",
            ),
            controls.labelled(
                "Cohort",
                dmc.SegmentedControl(
                    id="cohort",
                    value="production",
                    size="xs",
                    data=[
                        {"value": "production", "label": "Production"},
                        {"value": "experiment", "label": "Experiment"},
                    ],
                    **attributes(aria_label="Cohort"),
                ),
            ),
        ],
    )


def _table() -> Component:
    return html.Section(
        className="card",
        **attributes(aria_labelledby="series-title"),
        children=[
            html.Header(
                children=[html.H2("Series", id="series-title"), html.Span(id="series-note", className="unit")]
            ),
            html.Div(
                className="scroll",
                # Reachable by keyboard where it is wider than the screen.
                tabIndex=0,
                role="region",
                **attributes(aria_label="Series: tenant, model and template"),
                children=html.Table(
                    [html.Thead(html.Tr([heading(column) for column in COLUMNS])), html.Tbody(id="rows")]
                ),
            ),
        ],
    )
