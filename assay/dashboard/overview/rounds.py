"""A refresh of the page: two rounds of queries, and their answers by name."""

from __future__ import annotations

from typing import cast

import pandas as pd

from assay.dashboard.overview import kpis, queries
from assay.dashboard.overview.queries import View
from assay.dashboard.overview.rollups import SERIES, Series
from assay.dashboard.store import Store


async def ask(store: Store, view: View) -> dict[str, pd.DataFrame]:
    """Everything that the page shows of ``view``, by the name of its query. ``series`` has the columns of all
    queries of the table.

    Raises:
        StoreError: a query has no answer.
    """
    found = await store.frames(queries.first(view))
    evaluator = view.selection.evaluator or kpis.most_used(found["quality_totals"])
    found |= await store.frames(queries.second(view, named(found), listed(found), evaluator))
    return found | {"series": table(found)}


def named(first: dict[str, pd.DataFrame]) -> list[str]:
    """The members that the charts draw by name; none where they are not split."""
    return [str(name) for name in first["members"]["name"]] if "members" in first else []


def listed(first: dict[str, pd.DataFrame]) -> list[Series]:
    """The series that the table lists."""
    rows = first["series"][list(SERIES)].astype(str).itertuples(index=False, name=None)
    return [cast(Series, row) for row in rows]


def table(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of the table, in their order: the sums, then percentiles and scores where there are any."""
    keys = list(SERIES)
    rows = found["series"].astype(dict.fromkeys(keys, str))
    for name in ("series_percentiles", "series_quality"):
        more = found[name].astype(dict.fromkeys(keys, str))
        rows = rows.merge(more[[*keys, *more.columns.difference(rows.columns)]], on=keys, how="left")
    return rows
