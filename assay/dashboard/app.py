"""The application: Dash on FastAPI, the frame around every page, ``/healthz``.

Everything that a browser loads comes from this process: scripts, styles, no web fonts.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, cast

import dash_mantine_components as dmc
import httpx
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from fastapi import FastAPI

from assay.dashboard import notices, theme
from assay.dashboard.markup import attributes
from assay.dashboard.pages import PAGES, Page, find
from assay.dashboard.store import Store
from assay.settings import Settings

Children = list[Component | None]

_LOG = logging.getLogger(__name__)

_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{%title%}}</title>
{{%favicon%}}
<script>
// Before the first paint, so that a dark screen does not flash white.
(function () {{
  const chosen = localStorage.getItem('mantine-color-scheme-value') || 'auto';
  const dark = chosen === 'dark' || (chosen === 'auto' && matchMedia('(prefers-color-scheme: dark)').matches);
  document.documentElement.setAttribute('data-mantine-color-scheme', dark ? 'dark' : 'light');
}})();
</script>
<style>{style}</style>
{{%css%}}
</head>
<body>
{{%app_entry%}}
<footer>{{%config%}}{{%scripts%}}{{%renderer%}}</footer>
</body>
</html>"""


def create(settings: Settings) -> FastAPI:
    """The ASGI application. Connects to the store when a browser first asks.

    Args:
        settings: where the store is.
    """
    store = Store(settings)

    @asynccontextmanager
    async def lifespan(served: FastAPI) -> AsyncIterator[None]:
        # Dash looks for its assets when `/` is first asked for, and not for any other page: ask now, so
        # that a link to any page works from the start.
        transport = httpx.ASGITransport(app=served)
        async with httpx.AsyncClient(transport=transport, base_url=settings.dashboard) as itself:
            (await itself.get("/")).raise_for_status()
        yield
        store.close()

    # FastAPI's own documentation pages would load scripts from elsewhere, and there is no API here to
    # document.
    server = FastAPI(
        title="Assay dashboard", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None
    )

    @server.get("/healthz")
    async def healthz() -> dict[str, str]:
        # Whether the store answers is said on the screen, and by the store's own health check.
        return {"status": "ok"}

    app = Dash(
        __name__,
        server=cast(Any, server),  # Its annotation knows Flask alone.
        assets_folder=str(resources.files("assay.dashboard") / "assets"),
        serve_locally=True,
        compress=True,
        title="Assay",
        update_title="",
        # Pages come and go with the address.
        suppress_callback_exceptions=True,
        on_error=_report,
        index_string=_INDEX.format(style=theme.style()),
    )
    # Off, with the check for a newer version that they would make.
    app.enable_dev_tools(debug=False, dev_tools_disable_version_check=True)
    app.layout = _shell
    _register(app)
    for page in PAGES:
        page.register(app, store, settings)
    return server


def _report(error: Exception) -> None:
    """A callback that failed is in the log, and looks failed: the browser is told so."""
    _LOG.error("a callback failed", exc_info=error)
    raise error


def _shell() -> Component:
    shell: Component = dmc.MantineProvider(
        theme=theme.MANTINE,
        defaultColorScheme="auto",
        children=[
            dcc.Location(id="location", refresh=False),
            dcc.Store(id="title"),
            html.Div(id="root"),
        ],
    )
    return shell


def _framed(page: Page) -> Children:
    """A page with what stands around every page. It comes with the page, so that a callback of the page
    finds all that it names.
    """
    links = [
        html.Span(each.title, className="nav", **attributes(aria_current="page"))
        if each is page
        else dcc.Link(each.title, id=_link(page, each), href=each.path, className="nav")
        for each in PAGES
    ]
    return [
        html.A("Skip to the figures", href="#page", className="skip"),
        html.Header(
            className="top",
            children=[
                html.Span("Assay", className="brand"),
                html.Nav(links, **attributes(aria_label="Pages")),
                # Filled by the page: whose traffic is in view, and how fresh it is.
                notices.simulated("simulated"),
                html.Span(id="freshness", className="freshness"),
                dmc.ColorSchemeToggle(
                    id="scheme",
                    variant="subtle",
                    color="gray",
                    size="md",
                    lightIcon=html.Span(className="scheme-icon"),
                    darkIcon=html.Span(className="scheme-icon"),
                    **attributes(aria_label="Switch between light and dark"),
                ),
            ],
        ),
        html.Main(page.layout(), id="page", tabIndex=-1),
    ]


def _link(page: Page, other: Page) -> str:
    """Id of the link from one page to another."""
    return f"{page.title}-to-{other.title}".lower()


def _register(app: Dash) -> None:
    @app.callback(Output("root", "children"), Output("title", "data"), Input("location", "pathname"))
    def show(path: str | None) -> tuple[Children, str]:
        page = find(path)
        if page is not None:
            return _framed(page), page.title
        first, title = PAGES[0], "There is no such page"
        words = [html.Strong(f"{title}. "), dcc.Link(f"Go to {first.title}", href=first.path)]
        return [html.Main(html.Div(words, className="notice"), className="overview")], title

    clientside: Any = app.clientside_callback  # It has no types.
    clientside(ClientsideFunction("pages", "title"), Input("title", "data"))
    for page in PAGES:
        for other in (each for each in PAGES if each is not page):
            href = (_link(page, other), "href")
            # Who looks at one tenant looks at it on the next page, too.
            clientside(
                ClientsideFunction("pages", "link"), Output(*href), Input(page.view, "data"), State(*href)
            )
