from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from assay.dashboard.overview.selection import RANGES
from assay.dashboard.windows import Grain, Window, aligned, ending, segments

NOW = datetime(2026, 3, 18, 14, 37, 12, tzinfo=UTC)

moments = st.integers(0, 10**9).map(
    lambda minute: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(minutes=minute % 10**7)
)
lengths = st.one_of(st.integers(1, 500), st.integers(1, 60 * 24 * 400)).map(
    lambda minutes: timedelta(minutes=minutes)
)
grains = st.sampled_from(Grain)


@given(moments, lengths, grains)
def test_segments_cover_the_window_exactly(start: datetime, length: timedelta, grain: Grain) -> None:
    window = Window(start, start + length)
    found = segments(window, grain)
    assert found[0].window.start == window.start
    assert found[-1].window.end == window.end
    for before, after in pairwise(found):
        assert before.window.end == after.window.start


@given(moments, lengths, grains)
def test_segments_are_whole_periods_no_coarser_than_asked(
    start: datetime, length: timedelta, grain: Grain
) -> None:
    for segment in segments(Window(start, start + length), grain):
        assert segment.window.start < segment.window.end
        assert segment.grain.floor(segment.window.start) == segment.window.start
        assert segment.grain.floor(segment.window.end) == segment.window.end
        assert segment.grain.length <= grain.length


@given(moments, lengths)
def test_segments_are_few(start: datetime, length: timedelta) -> None:
    assert len(segments(Window(start, start + length), Grain.DAY)) <= 5


def test_empty_window_has_no_segments() -> None:
    assert segments(Window(NOW, NOW), Grain.DAY) == []


@given(moments, st.sampled_from(sorted(RANGES)), st.integers(0, 59))
def test_live_window_includes_the_running_minute_and_starts_with_a_whole_step(
    minute: datetime, name: str, second: int
) -> None:
    now = minute + timedelta(seconds=second)
    window = ending(now, RANGES[name])
    assert window.start <= now - RANGES[name] + timedelta(minutes=1)
    assert now <= window.end < now + timedelta(minutes=1)
    assert window.length - RANGES[name] < window.step
    assert window.periods[0] == window.start
    # Its own grain alone covers it, up to the period that runs.
    read = Window(window.start, window.grain.ceil(window.end))
    assert [segment.grain for segment in segments(read, window.grain)] == [window.grain]


@given(moments, lengths)
def test_periods_touch_all_of_the_window(start: datetime, length: timedelta) -> None:
    window = Window(start, start + length)
    periods = window.periods
    assert periods[0] <= window.start < periods[0] + window.step
    assert periods[-1] < window.end <= periods[-1] + window.step
    assert len(periods) == len(set(periods))
    assert len(periods) < 400 or window.grain is Grain.DAY


def test_steps() -> None:
    found = {name: ending(NOW, length).step for name, length in RANGES.items()}
    assert found == {
        "15m": timedelta(minutes=1),
        "1h": timedelta(minutes=1),
        "6h": timedelta(minutes=5),
        "24h": timedelta(hours=1),
        "7d": timedelta(hours=1),
        "30d": timedelta(days=1),
    }


def test_old_windows_are_read_by_the_hour() -> None:
    start = NOW - timedelta(days=100)
    window = aligned(Window(start, start + timedelta(hours=2)), NOW)
    assert window == Window(datetime(2025, 12, 8, 14, tzinfo=UTC), datetime(2025, 12, 8, 17, tzinfo=UTC))
    recent = Window(NOW - timedelta(hours=3), NOW - timedelta(hours=1))
    assert aligned(recent, NOW).length == timedelta(hours=2, minutes=1)


def test_previous_is_as_long_and_ends_where_the_window_starts() -> None:
    window = ending(NOW, RANGES["24h"])
    assert window.previous.end == window.start
    assert window.previous.length == window.length
