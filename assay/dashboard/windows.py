"""Ranges of time: which interval a screen covers, at which grain, and which rollups add up to it.

All times are aware UTC. Intervals include their start and exclude their end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

# The minute rollups are kept for `minute_rollup_days` = 90 (dbt_project.yml). A window that starts near or
# before that is read by the hour; the margin keeps a long-open screen from reading while the oldest minutes
# are dropped.
_MINUTES_KEPT = timedelta(days=85)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Grain(Enum):
    """The period of a rollup: the suffix of its tables, and its length."""

    MINUTE = ("1min", timedelta(minutes=1))
    HOUR = ("1h", timedelta(hours=1))
    DAY = ("1d", timedelta(days=1))

    def __init__(self, suffix: str, length: timedelta) -> None:
        self.suffix = suffix
        self.length = length

    @property
    def finer(self) -> Grain:
        """The next finer grain; the minute has none and is its own."""
        return Grain.HOUR if self is Grain.DAY else Grain.MINUTE

    def floor(self, time: datetime) -> datetime:
        """The latest period start at or before ``time``."""
        return floor(time, self.length)

    def ceil(self, time: datetime) -> datetime:
        """The earliest period start at or after ``time``."""
        return time + (_EPOCH - time) % self.length


def floor(time: datetime, length: timedelta) -> datetime:
    """The latest multiple of ``length`` since 1970 at or before ``time``."""
    return time - (time - _EPOCH) % length


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
        """The rollup to read for this window: minutes below 7 hours, hours up to 14 days, else days."""
        if self.length < timedelta(hours=7):
            return Grain.MINUTE
        return Grain.HOUR if self.length <= timedelta(days=14) else Grain.DAY

    @property
    def step(self) -> timedelta:
        """The period to draw this window in: its grain, or five minutes where minutes would be too many to
        see.
        """
        fine = self.grain is Grain.MINUTE and self.length > timedelta(hours=2)
        return timedelta(minutes=5) if fine else self.grain.length

    @property
    def periods(self) -> list[datetime]:
        """Starts of the steps that the window touches, in order."""
        first = floor(self.start, self.step)
        count = -(-(self.end - first) // self.step)
        return [first + i * self.step for i in range(count)]


@dataclass(frozen=True)
class Segment:
    """A part of a window, to be read from the rollup of one grain; both ends are period starts of it."""

    grain: Grain
    window: Window


def ending(now: datetime, length: timedelta) -> Window:
    """The last ``length`` up to and including the minute that runs at ``now``.

    It starts with a whole step: the first bar of a chart is a full one, and the rollup of its grain alone
    covers the window.
    """
    end = Grain.MINUTE.ceil(now)
    exact = Window(end - length, end)
    return Window(floor(exact.start, exact.step), end)


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
