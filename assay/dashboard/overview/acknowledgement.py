"""Acknowledging an alert on the screen: the button beside it, the question for a name, the answer.

The name is asked for once and kept by the browser. What the viewer clicks is decided in the browser
(``assets/acknowledgement.js``); what is true is decided here, by the store.
"""

from __future__ import annotations

from functools import partial
from time import time_ns
from typing import Any

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from assay.dashboard.markup import attributes
from assay.dashboard.store import Store, StoreError
from sensors import alerts
from sensors.alerts import UnknownAlertError

# Enough for a full name; more would push what happened out of an alert's line.
NAME_LIMIT = 60

_BUTTON = "acknowledge"


def button(alert_id: str, what: str) -> Component:
    """The button of one open alert; ``what`` tells it from the others for those who do not see the row."""
    return html.Button(
        "Acknowledge",
        id={"type": _BUTTON, "alert": alert_id},
        className="action",
        title="Tell the others that you are looking at it",
        **attributes(aria_label=f"Acknowledge: {what}"),
    )


def parts() -> list[Component]:
    """What stands on the page beside the list of alerts, whatever is in the list."""
    return [
        # Who looks at this browser; the click to be sent to the store; the alert that waits for a name; what
        # became of the click.
        dcc.Store(id="viewer", storage_type="local"),
        dcc.Store(id="intent"),
        dcc.Store(id="unsigned"),
        dcc.Store(id="outcome"),
        html.Div(id="acknowledgement"),
        html.Div(id="acknowledged", className="sr-only", role="status"),
        html.Div(
            id="signature",
            hidden=True,
            className="quiet",
            children=[
                "You acknowledge as ",
                html.Strong(id="signed-as"),
                html.Button("Change", id="rename", className="action", title="Another name for this browser"),
            ],
        ),
        dmc.Modal(
            id="sign",
            opened=False,
            title="Who is looking at it?",
            size="sm",
            closeButtonProps={"aria-label": "Close"},
            children=[
                dmc.TextInput(
                    id="name",
                    label="Your name",
                    description="Shown to everybody beside the alert, and kept in this browser for the next.",
                    value="",
                    autoComplete="name",
                    inputProps={"maxLength": NAME_LIMIT},
                    attributes={"input": {"data-autofocus": True}},
                ),
                html.Div(
                    [
                        html.Button("Cancel", id="cancel", className="action"),
                        html.Button("Save", id="confirm", className="action primary"),
                    ],
                    className="actions",
                ),
            ],
        ),
    ]


def register(app: Dash, store: Store) -> None:
    """Add the callbacks of :func:`button` and :func:`parts`."""
    clientside: Any = app.clientside_callback  # It has no types.
    clientside(
        ClientsideFunction("acknowledgement", "decide"),
        Output("intent", "data"),
        Output("unsigned", "data"),
        Output("viewer", "data"),
        Output("sign", "opened"),
        Output("name", "value"),
        Output("name", "error"),
        Output("confirm", "children"),
        Input({"type": _BUTTON, "alert": ALL}, "n_clicks"),
        Input("rename", "n_clicks"),
        Input("confirm", "n_clicks"),
        Input("name", "n_submit"),
        Input("cancel", "n_clicks"),
        State("viewer", "data"),
        State("unsigned", "data"),
        State("name", "value"),
        prevent_initial_call=True,
    )
    clientside(
        ClientsideFunction("acknowledgement", "signature"),
        Output("signed-as", "children"),
        Output("signature", "hidden"),
        Input("viewer", "data"),
    )
    clientside(
        ClientsideFunction("acknowledgement", "settled"),
        Output("acknowledged", "children"),
        Input("outcome", "data"),
        prevent_initial_call=True,
    )
    clientside(
        ClientsideFunction("acknowledgement", "dismissed"),
        Output("acknowledgement", "children", allow_duplicate=True),
        Input("dismiss", "n_clicks"),
        prevent_initial_call=True,
    )

    @app.callback(
        output={
            "outcome": Output("outcome", "data"),
            "notice": Output("acknowledgement", "children"),
            "tick": Output("tick", "data", allow_duplicate=True),
        },
        inputs={"intent": Input("intent", "data")},
        prevent_initial_call=True,
    )
    async def acknowledge(intent: Any) -> dict[str, Any]:
        alert_id, by = _asked(intent)
        notice: list[Component] = []
        try:
            await store.run(partial(alerts.acknowledge, by=by), alert_id)
        except UnknownAlertError as error:
            notice = failure(f"Not acknowledged: {error}.", "The list shows what is open now.")
        except StoreError as error:
            notice = failure(f"Not acknowledged: {error}", error.fix)
        # Whatever came of it, the list is read again: others may have acted on the alert, too.
        return {
            "outcome": {"alert": alert_id, "by": by, "failed": bool(notice)},
            "notice": notice,
            "tick": time_ns() // 1_000_000,
        }


def failure(what: str, fix: str) -> list[Component]:
    """An acknowledgement that was not stored, and what to do about it."""
    return [
        html.Div(
            [
                html.Strong(what),
                html.Div(fix),
                html.Button("Dismiss", id="dismiss", className="action"),
            ],
            className="notice failed",
            role="alert",
        )
    ]


def _asked(intent: Any) -> tuple[str, str]:
    """Alert and name of a click. What does not come from this page's script is not acted upon."""
    if not isinstance(intent, dict):
        raise PreventUpdate
    alert_id, name = intent.get("alert"), intent.get("by")
    if not isinstance(alert_id, str) or not isinstance(name, str):
        raise PreventUpdate
    by = " ".join(name.split())
    if not by or len(by) > NAME_LIMIT:
        raise PreventUpdate
    return alert_id, by
