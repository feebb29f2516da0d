"""Controls that choose what a page shows."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

# Filters by the field of :class:`assay.dashboard.address.Filters`, with what they are called.
FILTERS = {"tenants": "Tenant", "models": "Model", "templates": "Template"}


def labelled(label: str, control: Component) -> Component:
    """A control that has no label of its own, below one."""
    return html.Div(className="labelled", children=[html.Span(label, className="label"), control])


def choice(name: str, label: str) -> Component:
    """A filter: none, one or several of the names that it is given to offer."""
    return html.Div(
        dmc.MultiSelect(
            id=name,
            label=label,
            placeholder="all",
            data=[],
            value=[],
            searchable=True,
            clearable=True,
            size="xs",
            nothingFoundMessage="Nothing with traffic in this range",
            maxDropdownHeight=320,
        ),
        className="filter",
    )
