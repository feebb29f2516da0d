"""What the viewer asked to see: range, filters, grouping, order. It is the query string of the page's
address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from urllib.parse import urlencode

from assay.dashboard.address import Dimension, Filters, Query, filters, one
from assay.dashboard.windows import Window, aligned, ending

Cohort = Literal["production", "experiment"]

# Where the page is.
PATH = "/"

CUSTOM = "custom"
DEFAULT_RANGE = "1h"
RANGES: Mapping[str, timedelta] = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}

# How often a live screen asks again: what a minute rollup shows changes with every call, a day's share of a
# month hardly does.
REFRESH_SECONDS: Mapping[str, int] = {"15m": 5, "1h": 5, "6h": 15, "24h": 30, "7d": 60, "30d": 120}

SORTS = (
    "tenant_id",
    "model",
    "prompt_template_version",
    "request_count",
    "error_rate",
    "cost_usd",
    "cost_p50_usd",
    "latency_p95_ms",
    "velocity_p50",
    "cache_hit_rate",
    "quality_mean",
)

# In the address: charts show all calls together.
UNGROUPED = "none"

_TIME = "%Y-%m-%dT%H:%MZ"
# Far outside what a store of LLM traffic can hold, and inside what a DateTime can.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST = timedelta(days=3660)


@dataclass(frozen=True)
class Evaluator:
    """Whose scores are shown: scores of different evaluators are never mixed."""

    name: str
    version: str

    @property
    def key(self) -> str:
        """As written in the address and in the select."""
        return f"{self.name}@{self.version}" if self.version else self.name

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}".strip()

    @classmethod
    def of(cls, key: str) -> Evaluator:
        name, _, version = key.partition("@")
        return cls(name, version)


@dataclass(frozen=True, kw_only=True)
class Selection(Filters):
    """One view of the page. ``since`` and ``until`` count for a custom range
    only.
    """

    range: str = DEFAULT_RANGE
    since: datetime | None = None
    until: datetime | None = None
    cohort: Cohort = "production"
    group_by: Dimension | None = "tenant_id"
    evaluator: Evaluator | None = None
    sort: str = "cost_usd"
    descending: bool = True

    def window(self, now: datetime) -> Window:
        """The interval that is shown at ``now``."""
        if self.since is not None and self.until is not None:
            return aligned(Window(self.since, self.until), now)
        return ending(now, RANGES[self.range])

    @property
    def live(self) -> bool:
        """Whether the window ends now, and moves."""
        return self.since is None or self.until is None

    @property
    def refresh_seconds(self) -> int | None:
        """How often to ask again; ``None`` for a fixed interval."""
        return REFRESH_SECONDS.get(self.range)

    @property
    def href(self) -> str:
        """A link to this view."""
        return f"{PATH}{self.query()}"

    def query(self) -> str:
        """The query string of this view, defaults left out."""
        pairs: list[tuple[str, str]] = []
        if self.range != DEFAULT_RANGE:
            pairs.append(("range", self.range))
        if self.since is not None and self.until is not None:
            pairs += [("from", self.since.strftime(_TIME)), ("to", self.until.strftime(_TIME))]
        pairs += self.pairs()
        if self.cohort != "production":
            pairs.append(("cohort", self.cohort))
        if self.group_by != "tenant_id":
            pairs.append(("group", self.group_by or UNGROUPED))
        if self.evaluator is not None:
            pairs.append(("evaluator", self.evaluator.key))
        if (self.sort, self.descending) != ("cost_usd", True):
            pairs.append(("sort", f"{'-' if self.descending else ''}{self.sort}"))
        return f"?{urlencode(pairs)}" if pairs else ""

    @classmethod
    def of(cls, query: Query) -> Selection:
        """The view that an address names. What it does not understand is left at its default: a link from
        another version of the page still opens.
        """
        since, until = _time(one(query, "from")), _time(one(query, "to"))
        chosen = one(query, "range")
        if chosen == CUSTOM and _proper(since, until):
            chosen = CUSTOM
        else:
            since = until = None
            chosen = chosen if chosen in RANGES else DEFAULT_RANGE
        cohort, group = one(query, "cohort"), one(query, "group")
        evaluator, sort = one(query, "evaluator"), one(query, "sort")
        column = sort.removeprefix("-")
        return cls(
            range=chosen,
            since=since,
            until=until,
            **filters(query),
            cohort="experiment" if cohort == "experiment" else "production",
            group_by=None if group == UNGROUPED else _dimension(group),
            evaluator=Evaluator.of(evaluator) if evaluator else None,
            sort=column if column in SORTS else "cost_usd",
            descending=sort.startswith("-") if column in SORTS else True,
        )


def _dimension(name: str) -> Dimension:
    return next((d for d in get_args(Dimension) if d == name), "tenant_id")


def _proper(since: datetime | None, until: datetime | None) -> bool:
    return (
        since is not None
        and until is not None
        and since >= _EARLIEST
        and timedelta(0) < until - since <= _LONGEST
    )


def _time(text: str) -> datetime | None:
    """A time of an address (``2026-01-15T09:00Z``) or of a picker (``2026-01-15 09:00:00``), both UTC, by
    the minute.
    """
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return time.astimezone(UTC).replace(second=0, microsecond=0)
