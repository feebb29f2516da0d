"""What the viewer asked to see: days, filters, the template that is drawn, order. It is the query string of
the page's address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from assay.dashboard.address import UNNAMED, Filters, Query, filters, one
from assay.dashboard.windows import Grain, Window

# Where the page is.
PATH = "/efficiency"

DEFAULT_RANGE = "30d"
# In days, of which today is the last. The mart has `efficiency_days` (dbt_project.yml).
RANGES: Mapping[str, int] = {"7d": 7, "30d": 30}

DEFAULT_SORT = "missed_discount_usd"
SORTS = (
    "tenant_id",
    "prompt_template_version",
    "request_count",
    "cost_usd",
    "normalized_per_call_usd",
    "completion_ratio",
    "flagged_days",
    "cache_hit_rate",
    "missed_discount_usd",
    "cost_per_conversion_usd",
    "escalation_rate",
)


class Template(NamedTuple):
    """A prompt template is its tenant's: others' may have the same name."""

    tenant_id: str
    version: str


@dataclass(frozen=True)
class Days(Window):
    """Whole days (UTC), each drawn as one."""

    @property
    def grain(self) -> Grain:
        return Grain.DAY

    @property
    def first(self) -> date:
        return self.start.date()

    @property
    def last(self) -> date:
        return self.end.date() - timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Selection(Filters):
    """One view of the page. ``drawn`` is the template of the charts; ``None``: one with most flagged days."""

    range: str = DEFAULT_RANGE
    drawn: Template | None = None
    sort: str = DEFAULT_SORT
    descending: bool = True

    def days(self, now: datetime) -> Days:
        """The days that are shown at ``now``, up to the one that runs."""
        end = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
        return Days(end - timedelta(days=RANGES[self.range]), end)

    @property
    def shown(self) -> Template | None:
        """``drawn``, where the filters keep it."""
        if self.drawn is None or (self.tenants and self.drawn.tenant_id not in self.tenants):
            return None
        named = self.drawn.version or UNNAMED
        return None if self.templates and named not in self.templates else self.drawn

    @property
    def href(self) -> str:
        """A link to this view."""
        return f"{PATH}{self.query()}"

    def query(self) -> str:
        """The query string of this view, defaults left out."""
        pairs: list[tuple[str, str]] = []
        if self.range != DEFAULT_RANGE:
            pairs.append(("range", self.range))
        pairs += self.pairs()
        if self.shown is not None:
            pairs += [("of_tenant", self.shown.tenant_id), ("of_template", self.shown.version)]
        if (self.sort, self.descending) != (DEFAULT_SORT, True):
            pairs.append(("sort", f"{'-' if self.descending else ''}{self.sort}"))
        return f"?{urlencode(pairs)}" if pairs else ""

    @classmethod
    def of(cls, query: Query) -> Selection:
        """The view that an address names. What it does not understand is left at its default: a link from
        another version of the page still opens.
        """
        chosen, sort, tenant = one(query, "range"), one(query, "sort"), one(query, "of_tenant")
        column = sort.removeprefix("-")
        return cls(
            **filters(query),
            range=chosen if chosen in RANGES else DEFAULT_RANGE,
            drawn=Template(tenant, one(query, "of_template")) if tenant else None,
            sort=column if column in SORTS else DEFAULT_SORT,
            descending=sort.startswith("-") if column in SORTS else True,
        )
