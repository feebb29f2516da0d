"""Which well-formed records the writer refuses: those whose time the store cannot or must not hold."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

from assay.contracts.records import (
    Contract,
    Evaluation,
    ExchangeRate,
    Feedback,
    Incident,
    Invoice,
    Outcome,
    Record,
    Span,
)

# Late records land in the minute in which they happened, up to this age; a backfill may be of any age.
LATEST: Final = timedelta(days=7)
# Clocks differ by seconds; a day covers a wrong time zone as well. What is further ahead would hide in
# empty minutes.
AHEAD: Final = timedelta(days=1)
# The store's minutes begin and end here.
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
END: Final = datetime(2106, 1, 1, tzinfo=UTC)

_LIVE: Final = (Span, Evaluation, Feedback, Outcome)


def refusal(record: Record, received_at: datetime, *, loaded: bool) -> tuple[str, str] | None:
    """(field, reason) of a record that is refused; None for one that is accepted.

    Args:
        record: well-formed by its contract.
        received_at: when the collector received it: a block that is built again must decide the same.
        loaded: whether it came from a load.
    """
    if isinstance(record, Invoice):
        return _days(period_start=record.period_start, period_end=record.period_end)
    if isinstance(record, Contract):
        return _days(valid_from=record.valid_from, valid_to=record.valid_to)
    if isinstance(record, ExchangeRate):
        return _days(day=record.day)
    if isinstance(record, Incident):
        return _incident(record)
    moment: datetime | None = getattr(record, "timestamp", None)
    if moment is None:
        return None
    if moment < EARLIEST:
        return "timestamp", f"`timestamp` = {moment.isoformat()} is before 1970"
    if moment > received_at + AHEAD:
        return "timestamp", (
            f"`timestamp` = {moment.isoformat()} is more than a day after the record was received "
            f"({received_at.isoformat()}); check the sender's clock"
        )
    if isinstance(record, _LIVE) and not loaded and moment < received_at - LATEST:
        return "timestamp", (
            f"`timestamp` = {moment.isoformat()} is more than 7 days before the record was received "
            f"({received_at.isoformat()}); load old records with `assay load`"
        )
    return None


def _days(**days: date | None) -> tuple[str, str] | None:
    for name, day in days.items():
        if day is not None and not EARLIEST.date() <= day < END.date():
            return name, f"`{name}` = {day} is not between 1970 and 2106"
    return None


def _incident(incident: Incident) -> tuple[str, str] | None:
    for name, moment in (("start", incident.start), ("end", incident.end)):
        if not EARLIEST <= moment < END:
            return name, f"`{name}` = {moment.isoformat()} is not between 1970 and 2106"
    return None
