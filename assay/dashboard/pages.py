"""The pages of the dashboard. A page is added here by one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dash import Dash
from dash.development.base_component import Component

from assay.dashboard import efficiency, overview
from assay.dashboard.address import path_of
from assay.dashboard.store import Store
from assay.settings import Settings


@dataclass(frozen=True)
class Page:
    """One screen.

    Attributes:
        path: of its address.
        title: in the navigation and the browser's tab.
        layout: its components, without data.
        view: id of the ``dcc.Store`` in it that has the query string of what is shown.
        register: adds its callbacks to the app; they read from the store.
    """

    path: str
    title: str
    layout: Callable[[], Component]
    view: str
    register: Callable[[Dash, Store, Settings], None]


PAGES: tuple[Page, ...] = (
    Page(overview.PATH, "Overview", overview.layout, overview.VIEW, overview.register),
    Page(efficiency.PATH, "Efficiency", efficiency.layout, efficiency.VIEW, efficiency.register),
)


def find(path: str | None) -> Page | None:
    """The page at ``path``; ``None`` if there is none."""
    return next((page for page in PAGES if page.path == path_of(path)), None)
