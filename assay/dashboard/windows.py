"""Ranges of time: which interval a screen covers, at which grain, and which rollups add up to it.

All times are aware UTC. Intervals include their start and exclude their end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

# The minute rollups are kept for `minute_rollup_days` = 90 (dbt_project.yml). A window that starts near or before
# that is read by the hour; the margin keeps a long-open screen from reading while the oldest minutes are dropped.
_MINUTES_KEPT = timedelta(days=85)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Grain(Enum):
    """The period of a rollup: the suffix of its tables, its length, how ClickHouse truncates to it."""

    MINUTE = ("1min", timedelta(minutes=1), "toStartOfMinute", "minute")
    HOUR = ("1h", timedelta(hours=1), "toStartOfHour", "hour")
    DAY = ("1d", timedelta(days=1), "toStartOfDay", "day")

    def __init__(self, suffix: str, length: timedelta, start_of: str, label: str) -> None:
        self.suffix = suffix
        self.length = length
        self.start_of = start_of
        self.label = label

    @property
    def finer(self) -> Grain:
        """The next finer grain; the minute has none and is its own."""
        return Grain.HOUR if self is Grain.DAY else Grain.MINUTE

    def floor(self, time: datetime) -> datetime:
        """The latest period start at or before ``time``."""
        return time - (time - _EPOCH) % self.length

    def ceil(self, time: datetime) -> datetime:
        """The earliest period start at or after ``time``."""
        return time + (_EPOCH - time) % self.length


@dataclass(frozen=True)
class Window:
    """An interval of time."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    @property
    def previous(self) -> Window:
        """The interval of the same length that ends where this one starts."""
        return Window(self.start - self.length, self.start)

    @property
    def grain(self) -> Grain:
        """The period to draw this window in: minutes up to 6 hours, hours up to 14 days, else days."""
        if self.length <= timedelta(hours=6):
            return Grain.MINUTE
        return Grain.HOUR if self.length <= timedelta(days=14) else Grain.DAY

    def periods(self, grain: Grain) -> list[datetime]:
        """Starts of the periods that the window touches, in order."""
        first = grain.floor(self.start)
        count = -(-(self.end - first) // grain.length)
        return [first + i * grain.length for i in range(count)]


@dataclass(frozen=True)
class Segment:
    """A part of a window, to be read from the rollup of one grain; both ends are period starts of it."""

    grain: Grain
    window: Window


def ending(now: datetime, length: timedelta) -> Window:
    """The window of ``length`` up to and including the minute that runs at ``now``."""
    end = Grain.MINUTE.ceil(now)
    return Window(end - length, end)


def aligned(window: Window, now: datetime) -> Window:
    """``window`` widened to the finest periods that are kept for it: minutes, or hours when it is old.

    What precedes the window counts as well: it is compared with the period of the same length before it.
    """
    finest = Grain.MINUTE if now - window.previous.start <= _MINUTES_KEPT else Grain.HOUR
    return Window(finest.floor(window.start), finest.ceil(window.end))


def segments(window: Window, grain: Grain) -> list[Segment]:
    """What to read for ``window``: whole periods of ``grain`` in the middle, finer ones at its ragged ends.

    Args:
        window: its ends are whole minutes.
        grain: the coarsest grain to read.
    """
    return list(_segments(window, grain))


def _segments(window: Window, grain: Grain) -> Iterator[Segment]:
    if window.start >= window.end:
        return
    start, end = grain.ceil(window.start), grain.floor(window.end)
    if grain is Grain.MINUTE:
        yield Segment(grain, window)
    elif start >= end:
        yield from _segments(window, grain.finer)
    else:
        yield from _segments(Window(window.start, start), grain.finer)
        yield Segment(grain, Window(start, end))
        yield from _segments(Window(end, window.end), grain.finer)
