"""Which parts have rows that were not read, of a table that numbers and merges them as ClickHouse does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from assay.collector.otel_traces.progress import Part, Progress

DAYS = ("20240115", "20240116")


def part(first: int, last: int, rows: int = 10, day: str = DAYS[0]) -> Part:
    return Part(f"{day}_{first}_{last}_{last - first}", day, first, last, rows)


@dataclass
class Engine:
    """A MergeTree table: the rows of its parts, and those that a reader saw."""

    rows: dict[Part, list[int]] = field(default_factory=dict)
    inserted: int = 0
    top: int = 0
    seen: set[int] = field(default_factory=set)

    @property
    def parts(self) -> list[Part]:
        return list(self.rows)

    def insert(self, day: str, rows: int, skipped: int) -> None:
        self.top += 1 + skipped
        self.rows[part(self.top, self.top, rows, day)] = list(range(self.inserted, self.inserted + rows))
        self.inserted += rows

    def merge(self, day: str, start: int, count: int) -> None:
        mine = sorted((p for p in self.rows if p.partition == day), key=lambda p: p.first)[
            start : start + count
        ]
        if len(mine) < 2:
            return
        # Rows of different blocks come to stand among one another.
        rows = sorted((row for p in mine for row in self.rows.pop(p)), key=lambda row: row * 7919 % 1009)
        self.rows[part(mine[0].first, mine[-1].last, len(rows), day)] = rows

    def read(self, progress: Progress, rows: int, limit: int, lost: bool) -> bool:
        """Read a page, of which the first ``limit`` rows come; with ``lost``, its last part was merged away
        before that."""
        unread = progress.unread(self.parts)
        if not unread:
            return False
        page = progress.page(unread, rows)
        there = {p.name for p in self.rows}
        if lost:
            there.discard(page[-1].part.name)
        found = [
            (position.part.name, offset, self.rows[position.part][offset])
            for position in page
            if position.part.name in there
            for offset in range(position.start, position.end)
        ][:limit]
        self.seen.update(row for _, _, row in found)
        progress.advance(page, found[-1][:2] if len(found) == limit else None, there)
        return True


actions = st.one_of(
    st.tuples(st.just("insert"), st.sampled_from(DAYS), st.integers(1, 30), st.integers(0, 2)),
    st.tuples(st.just("merge"), st.sampled_from(DAYS), st.integers(0, 5), st.integers(2, 4)),
    st.tuples(st.just("read"), st.integers(5, 40), st.integers(1, 30), st.booleans()),
    st.tuples(st.just("settle")),
)


@given(st.lists(actions, max_size=60))
def test_every_row_is_read_whatever_is_merged(steps: list[tuple[Any, ...]]) -> None:
    engine, progress = Engine(), Progress()
    progress.begin(engine.parts)
    for name, *arguments in steps:
        match name:
            case "insert":
                engine.insert(*arguments)
            case "merge":
                engine.merge(*arguments)
            case "read":
                engine.read(progress, *arguments)
            case "settle":
                progress.settle(engine.parts, engine.top)
        progress.forget(engine.parts)
        progress = Progress.decode(progress.encode())
    while engine.read(progress, 20, 50, lost=False):
        pass
    assert engine.seen == set(range(engine.inserted))


def test_what_was_read_is_not_read_again_when_it_is_merged() -> None:
    progress = Progress()
    progress.begin([])
    parts = [part(1, 1), part(2, 2), part(3, 3)]
    progress.advance(progress.page(progress.unread(parts), 100), None, {p.name for p in parts})
    assert progress.unread([part(1, 3)]) == []
    # One new block among them: the whole part is to be read, and it is not fresh.
    mixed = part(1, 4)
    assert progress.unread([mixed]) == [mixed]
    assert not progress.is_fresh(mixed)


def test_numbers_of_other_partitions_are_no_reason_to_read_again() -> None:
    progress = Progress()
    progress.begin([])
    parts = [part(1, 1), part(2, 2, day=DAYS[1]), part(3, 3), part(4, 4, day=DAYS[1])]
    progress.advance(progress.page(progress.unread(parts), 100), None, {p.name for p in parts})
    merged = [part(1, 3, 20), part(2, 4, 20, DAYS[1])]
    assert len(progress.unread(merged)) == 2
    progress.settle(parts, 4)
    assert progress.unread(merged) == []


def test_a_part_is_read_in_pieces_and_small_ones_together() -> None:
    progress = Progress()
    progress.begin([part(1, 1)])
    parts = [part(1, 1, 25), part(2, 2, 4), part(3, 3, 4), part(4, 4, 9)]
    there = {p.name for p in parts}
    page = progress.page(progress.unread(parts), 10)
    # What came since comes before what was there.
    assert [p.part.first for p in page] == [2, 3]
    progress.advance(page, (page[0].part.name, 1), there)
    page = progress.page(progress.unread(parts), 10)
    assert [(p.part.first, p.start, p.end) for p in page] == [(2, 2, 4)]
    progress.advance(page, None, there)
    spans = []
    while unread := progress.unread(parts):
        page = progress.page(unread, 10)
        spans += [(p.part.first, p.start, p.end) for p in page]
        progress.advance(page, None, there)
    assert spans == [(3, 0, 4), (4, 0, 9), (1, 0, 10), (1, 10, 20), (1, 20, 25)]
