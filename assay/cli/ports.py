"""Whether the ports that a start needs are free."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

from assay.settings import Settings

# Service as it is started → the setting that moves it elsewhere.
SETTING_OF: Final[Mapping[str, str]] = {
    "clickhouse": "clickhouse_port",
    "valkey": "valkey_port",
    "collector": "collector_port",
    "dashboard": "dashboard_port",
    "dagster-webserver": "dagster_port",
    "judge-double": "judge_double_port",
    "webhook-sink": "webhook_sink_port",
}
_STORES: Final = ("clickhouse", "valkey")


class PortTakenError(RuntimeError):
    """Something else listens on a port; the message names the setting that chooses another."""


def check(settings: Settings, names: list[str]) -> None:
    """Check the ports of the services of these names.

    Raises:
        PortTakenError: naming every port that is taken.
    """
    taken = []
    for name in names:
        setting = SETTING_OF.get(name)
        if setting is None:
            continue
        port: int = getattr(settings, setting)
        host = settings.store_host if name in _STORES else settings.host
        if not _free(host, port):
            taken.append(
                f"port {port} on {host} is in use, {name} needs it: stop what listens there, "
                f"or set ASSAY_{setting.upper()}"
            )
    if taken:
        raise PortTakenError("\n".join(taken))


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: a port that was only just given up is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
