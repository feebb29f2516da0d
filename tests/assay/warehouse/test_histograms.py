"""What the store's functions make of histograms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse.client import connect

# Ten rows a group: counts that a later row takes back in part or whole, zeros, empty maps, groups of nothing.
_GROUPS = """
    SELECT intDiv(number, 10) AS group, number % 10 AS row,
        arrayMap(i -> toInt16(cityHash64(group, i) % 400) - 200, range(cityHash64(group) % 30)) AS drawn,
        arrayDistinct(arrayMap(bucket -> if(bucket % 7 = 0, toInt16(-32768), bucket), drawn)) AS buckets,
        arrayMap(k -> toInt64(cityHash64(group, k) % 5) + 1, buckets) AS counts,
        multiIf(
            row % 3 = 0, mapFromArrays(buckets, counts),
            row % 3 = 1 AND group % 4 = 0, mapFromArrays(buckets, arrayMap(x -> -x, counts)),
            row = 2 AND group % 8 = 0, mapFromArrays(buckets, arrayMap(x -> -x, counts)),
            row = 2 AND group % 8 = 4, mapFromArrays(buckets, arrayMap(x -> -intDiv(x, 2), counts)),
            CAST(map(), 'Map(Int16, Int64)')
        ) AS histogram
    FROM numbers(20000)
"""


@pytest.fixture
def client(migrated: Settings) -> Iterator[Client]:
    with connect(migrated) as opened:
        yield opened


def test_percentiles_of_a_sum_are_those_of_the_summed_histogram(client: Client) -> None:
    (row,) = client.query(
        f"""
        SELECT count(), countIf(isNull(p50)), countIf(p50 = 0), countIf(p50 > 1),
            countIf(p50 IS DISTINCT FROM assay_quantile(histogram, 0.5)),
            countIf(p95 IS DISTINCT FROM assay_quantile(histogram, 0.95))
        FROM (
            SELECT assay_sum_p50(g.histogram) AS p50, assay_sum_p95(g.histogram) AS p95,
                sumMap(g.histogram) AS histogram
            FROM ({_GROUPS}) AS g GROUP BY group
        )
        """
    ).result_rows
    groups, unknown, zero, known, *different = row
    assert groups == 2000
    # Each kind occurs, or the rest would prove nothing.
    assert min(unknown, zero, known) > 10
    assert different == [0, 0]


@pytest.mark.parametrize(
    ("rows", "p50", "p95"),
    [
        ("(map(10, 5)), (map(20, 4))", 10, 20),
        ("(map(10, 5)), (map(20, 6))", 20, 20),
        ("(map(10, 5, 20, 6)), (map(20, -2))", 10, 20),
        ("(map(10, 19, 20, 1)), (map())", 10, 10),
        ("(map(10, 18, 20, 1)), (map())", 10, 20),
    ],
)
def test_percentile_is_the_middle_of_the_first_bucket_that_enough_counts_do_not_exceed(
    client: Client, rows: str, p50: int, p95: int
) -> None:
    ((found_p50, found_p95),) = client.query(
        f"SELECT assay_sum_p50(h), assay_sum_p95(h) FROM values('h Map(Int16, Int64)', {rows})"
    ).result_rows
    assert (found_p50, found_p95) == pytest.approx((2 * 1.02**p50 / 2.02, 2 * 1.02**p95 / 2.02))


@pytest.mark.parametrize("rows", ["(map())", "(map(10, 5)), (map(10, -5))"])
def test_percentile_of_nothing_is_unknown(client: Client, rows: str) -> None:
    found = client.query(
        f"SELECT assay_sum_p50(h), assay_sum_p95(h) FROM values('h Map(Int16, Int64)', {rows})"
    ).result_rows
    assert found == [(None, None)]
