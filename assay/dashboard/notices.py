"""What a page says above its figures."""

from __future__ import annotations

from typing import Any

from dash import html

from assay.dashboard.store import StoreError

Children = list[Any]


def failure(error: StoreError, shown: bool) -> Children:
    """What went wrong and what to do about it."""
    stale = html.Div("The figures below are the last ones that arrived.") if shown else None
    return [
        html.Div(
            [html.Strong(str(error)), html.Div(error.fix), stale], className="notice failed", role="alert"
        )
    ]
