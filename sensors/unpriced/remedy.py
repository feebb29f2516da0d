"""How calls get a price, by the reason for which they have none: sentences and commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

# As `assay.pricing.calls` says it of what a card lacks.
_CLASS = re.compile(r"^no price for (?P<class>[a-z0-9-]+) tokens$")
_UNIT = re.compile(r"^no price for unit (?P<unit>\S+)$")
_NO_LIST = "no price list of provider "
_TOO_DEAR = "more than 4.6 million US dollars for one call"


def remedy(
    provider: str, model: str, reasons: Sequence[str], since: datetime, until: datetime
) -> list[dict[str, Any]]:
    """Steps, each with what to do and, where there are any, the commands.

    Args:
        since, until: the calls that are there. From the first of them on prices have to hold, so that
            repricing covers them.
    """
    steps: list[dict[str, Any]] = []
    if any(reason.startswith(_TOO_DEAR) for reason in reasons):
        steps.append({"do": "Look at the tokens and units that the source reports: no call costs as much."})
    if any(reason.startswith(_NO_LIST) for reason in reasons):
        steps.append(
            {
                "do": f"Is {provider} another name of a provider that docs/pricing.md lists? "
                "Then have the source send that one."
            }
        )
        if all(reason.startswith(_TOO_DEAR) for reason in reasons):
            return steps
    day, after = since.date().isoformat(), (until + timedelta(days=1)).date().isoformat()
    chosen = (f"--provider {shlex.quote(provider)} " if provider else "") + f"--model {shlex.quote(model)}"
    steps.append(
        {
            "do": "Note what it costs: USD per million tokens, or per unit. Writers have it in ten seconds.",
            "commands": [
                f"assay prices add {chosen} --class {name} --price USD --from {day} --source 'WHERE FROM'"
                for name in _classes(reasons)
            ],
        }
    )
    steps.append(
        {
            "do": "See what that makes of the calls that are stored, then reprice them.",
            "commands": [f"assay prices diff --from {day}", f"assay reprice --from {day} --to {after}"],
        }
    )
    return steps


def _classes(reasons: Sequence[str]) -> list[str]:
    """Of which classes of tokens or units the price is missing."""
    named: dict[str, None] = {}
    for reason in reasons:
        if found := _CLASS.match(reason):
            named[found["class"].replace("-", "_")] = None
        elif found := _UNIT.match(reason):
            named[found["unit"]] = None
    return list(named) or ["input", "output"]
