"""What a change of prices makes of stored calls, for people."""

from __future__ import annotations

from decimal import Decimal

import dagster as dg

from assay.pricing.reprice import Difference, Repriced

MOST = 50
CHECK = "stored_costs_are_those_of_known_prices"


def markdown(found: Repriced) -> str:
    """The differences as a table. What has no price says so."""
    if not found.differences:
        return "No stored call would cost anything else."
    lines = [
        "| provider | model | tier | priced by | now by | calls | before USD | after USD |",
        "| --- | --- | --- | --- | --- | ---: | ---: | ---: |",
        *(_row(difference) for difference in found.differences[:MOST]),
    ]
    more = len(found.differences) - MOST
    return "\n".join([*lines, *([f"\n… and {more} more kinds of calls"] if more > 0 else [])])


def check(found: Repriced, first: str, last: str) -> dg.AssetCheckResult:
    """Whether stored costs are those of the prices that are known now. A warning, with how to apply them."""
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not found.changed,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{found.changed} of {found.calls} calls would cost {found.after_usd:f} USD in place of "
            f"{found.before_usd:f}; to apply it, materialize repriced_traces of {first} to {last}"
            if found.changed
            else f"none of {found.calls} calls would cost anything else"
        ),
        metadata={"changed": found.changed, "calls": found.calls},
    )


def _row(row: Difference) -> str:
    cells = (
        *(row.provider, row.model, row.pricing_tier),
        *(row.stored_source or "nothing", row.source or "nothing"),
        *(str(row.calls), _usd(row.before_usd), _usd(row.after_usd)),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _usd(amount: Decimal | None) -> str:
    return "no price" if amount is None else f"{amount:f}"
