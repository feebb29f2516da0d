"""Which rows of the table were read, by the numbers that ClickHouse gives to inserted blocks.

A row's own time says nothing about when it came: collectors send late, after an outage by days. What does say
it is the part that holds the row. Every insert makes a part with a block number of its own, merges keep the
range of the numbers that they put together (``20240115_7_12_2`` holds blocks 7 to 12), and both are in the
list of parts. So a part whose whole range was read has nothing new, one with a number that was not has, and
late rows cost what punctual ones do.

A merge can put blocks that were read together with one that was not: then the part is read whole, and by
their identity the rows count once. A number that no part ever had (an insert that failed or was a repetition)
looks the same, once; see :meth:`Progress.settle`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

# Between the moment in which a block gets its number and the one in which its part is in the list, both under
# one lock in the engine, lie microseconds.
SETTLE_S: Final = 60.0
# In a page: their names travel in the URL.
MAX_PARTS: Final = 100

Range = tuple[int, int]


class Part(NamedTuple):
    """A part of the table: its name, partition, first and last block, and rows."""

    name: str
    partition: str
    first: int
    last: int
    rows: int


class Position(NamedTuple):
    """What of a part a page holds: rows from ``start`` up to, not including, ``end``."""

    part: Part
    start: int
    end: int

    @property
    def whole(self) -> bool:
        """Whether it is the whole part."""
        return self.start == 0 and self.end >= self.part.rows


class Progress(Struct):
    """What was read of a table.

    Attributes:
        blocks: ranges of block numbers per partition, in order, not touching.
        offsets: of parts that were read in part, up to which row.
        history: per partition, the last block that was there when the table was first seen.
        begun: whether the table was seen at all.
    """

    blocks: dict[str, list[Range]] = {}
    offsets: dict[str, int] = {}
    history: dict[str, int] = {}
    begun: bool = False

    def encode(self) -> bytes:
        """For Redis."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, body: bytes | None) -> Progress:
        """The inverse of :meth:`encode`; a new one where nothing was kept."""
        return cls() if body is None else msgspec.msgpack.decode(body, type=cls)

    def begin(self, parts: Iterable[Part]) -> None:
        """Remember, the first time, what was there before."""
        if self.begun:
            return
        self.begun = True
        for part in parts:
            self.history[part.partition] = max(part.last, self.history.get(part.partition, 0))

    def unread(self, parts: Iterable[Part]) -> list[Part]:
        """Parts with rows that were not read: what came since the table was first seen, as it came; then what
        was there before, the newest first."""
        fresh: list[Part] = []
        others: list[Part] = []
        for part in parts:
            if not self._covers(part):
                (fresh if self.is_fresh(part) else others).append(part)
        return sorted(fresh, key=lambda part: part.first) + sorted(others, key=lambda part: -part.last)

    def left(self, parts: Iterable[Part]) -> int:
        """Rows in parts that were not read to their end."""
        return sum(part.rows - self.offsets.get(part.name, 0) for part in parts)

    def is_fresh(self, part: Part) -> bool:
        """Whether none of the part's rows can have been read, or been there before the table was first
        seen."""
        return part.first > self.history.get(part.partition, -1) and not any(
            first <= part.last and part.first <= last for first, last in self.blocks.get(part.partition, ())
        )

    def page(self, parts: Sequence[Part], rows: int) -> list[Position]:
        """What to read next of the unread parts: at most so many rows of one of them, or several whole ones.

        All are fresh or none is.
        """
        first = parts[0]
        start = self.offsets.get(first.name, 0)
        if start or first.rows > rows:
            return [Position(first, start, min(first.rows, start + rows))]
        fresh = self.is_fresh(first)
        page: list[Position] = []
        for part in parts[:MAX_PARTS]:
            rows -= part.rows
            if rows < 0 or part.name in self.offsets or self.is_fresh(part) != fresh:
                break
            page.append(Position(part, 0, part.rows))
        # Their rows come in the order of their names.
        return sorted(page, key=lambda position: position.part.name)

    def advance(
        self, page: Sequence[Position], stopped: tuple[str, int] | None, there: Collection[str]
    ) -> None:
        """Note that a page was read.

        Args:
            page: what was asked for.
            stopped: part and row of the last row that came, where more were left.
            there: names of the parts that were in the list after it was read. One that is gone by then may
                have been gone before: what took its place is read.
        """
        for position in page:
            name = position.part.name
            end = position.end
            if stopped is not None:
                if name > stopped[0]:
                    continue
                end = stopped[1] + 1 if name == stopped[0] else end
            if name not in there:
                continue
            if end >= position.part.rows:
                self.offsets.pop(name, None)
                self._add(position.part.partition, (position.part.first, position.part.last))
            else:
                self.offsets[name] = end

    def settle(self, parts: Sequence[Part], top: int) -> None:
        """Count as read the numbers up to ``top`` that no part has.

        Only for tables that number their blocks under one lock (``MergeTree``, not replicated): there, a
        number that was given out :data:`SETTLE_S` ago and is in no part will be in none. In a replicated
        table its part may still be on its way from another replica.
        """
        by_partition: dict[str, list[Range]] = {}
        for part in parts:
            by_partition.setdefault(part.partition, []).append((part.first, part.last))
        for partition, ranges in by_partition.items():
            start = 0
            for first, last in sorted(ranges):
                if start <= min(first - 1, top):
                    self._add(partition, (start, min(first - 1, top)))
                start = max(start, last + 1)
            if start <= top:
                self._add(partition, (start, top))

    def forget(self, parts: Iterable[Part]) -> None:
        """Forget partitions and parts that are gone."""
        partitions, names = set(), set()
        for part in parts:
            partitions.add(part.partition)
            names.add(part.name)
        self.blocks = {key: ranges for key, ranges in self.blocks.items() if key in partitions}
        self.history = {key: last for key, last in self.history.items() if key in partitions}
        self.offsets = {name: offset for name, offset in self.offsets.items() if name in names}

    def _covers(self, part: Part) -> bool:
        ranges = self.blocks.get(part.partition, [])
        place = bisect_right(ranges, part.first, key=lambda found: found[0]) - 1
        return place >= 0 and ranges[place][1] >= part.last

    def _add(self, partition: str, new: Range) -> None:
        merged: list[Range] = []
        for first, last in sorted([*self.blocks.get(partition, ()), new]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        self.blocks[partition] = merged
