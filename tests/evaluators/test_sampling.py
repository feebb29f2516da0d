"""The sample, as the store draws it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.collector.capture import share
from assay.settings import Settings
from assay.warehouse.client import connect
from evaluators import sampling
from tests.support.stores import ClickHouse


def test_a_trace_stands_where_its_capture_stands(clickhouse: ClickHouse) -> None:
    ids = [f"trace-{n}" for n in range(40)] + ["", "é", "x" * 256]
    with clickhouse.client() as client:
        rows = client.query(
            f"SELECT {sampling.standing('arrayJoin({ids:Array(String)})')}", parameters={"ids": ids}
        )

    assert [row[0] for row in rows.result_rows] == [share(trace_id) for trace_id in ids]


@settings(max_examples=20, deadline=None)
@given(
    salt=st.integers(0, 2**31),
    rates=st.tuples(*[st.sampled_from([0.01, 0.03, 0.1, 0.3, 0.7, 1.0])] * 3),
    levels=st.tuples(*[st.floats(0, 1)] * 3),
)
def test_weighted_rollups_are_unbiased(
    clickhouse: ClickHouse, salt: int, rates: tuple[float, float, float], levels: tuple[float, float, float]
) -> None:
    """Σ 1/rate estimates how many there are and Σ score/rate the sum of their scores, whatever the tiers'
    rates are and however the scores of the tiers differ: within 6 standard errors of the truth."""
    tiers = dict(zip(("high_value", "standard", "batch"), rates, strict=True))
    n = 60_000
    with clickhouse.client() as client:
        count, total, weights, weighted, variance, variance_of_scores = client.query(
            f"""
            WITH scored AS (
                SELECT
                    concat({{salt:String}}, toString(number)) AS trace_id,
                    ['high_value', 'standard', 'batch'][number % 3 + 1] AS tier,
                    {sampling.tier_rate("tier", tiers)} AS rate,
                    -- Scores around the tier's level that have nothing to do with the trace's standing.
                    least(1., greatest(0., {{levels:Array(Float64)}}[number % 3 + 1]
                        + (cityHash64(number) % 1000) / 2500. - 0.2)) AS score,
                    {sampling.sampled("rate")} AS in_sample
                FROM numbers({n})
            )
            SELECT
                count(), sum(score), sumIf(1 / rate, in_sample), sumIf(score / rate, in_sample),
                sum(1 / rate - 1), sum(score * score * (1 / rate - 1))
            FROM scored
            """,
            parameters={"salt": f"{salt}-", "levels": list(levels)},
        ).result_rows[0]

    assert count == n
    assert weights == pytest.approx(n, abs=6 * sqrt(variance) + 1e-6)
    assert weighted == pytest.approx(total, abs=6 * sqrt(variance_of_scores) + 1e-6)


@settings(max_examples=10, deadline=None)
@given(smaller=st.floats(0, 1), larger=st.floats(0, 1))
def test_a_larger_sample_holds_the_smaller_one(clickhouse: ClickHouse, smaller: float, larger: float) -> None:
    smaller, larger = sorted((smaller, larger))
    with clickhouse.client() as client:
        outside, everything = client.query(
            f"SELECT countIf({sampled(smaller)} AND NOT {sampled(larger)}), countIf({sampled(1.0)}) "
            "FROM (SELECT toString(number) AS trace_id FROM numbers(5000))"
        ).result_rows[0]

    assert (outside, everything) == (0, 5000)


def sampled(rate: float) -> str:
    return sampling.sampled(repr(rate))


def test_rates_outside_0_and_1_are_refused() -> None:
    with pytest.raises(ValueError, match="batch"):
        sampling.tier_rate("tier", {"batch": 1.5})


def put_override(
    settings: Settings, name: str, value: str, *, until: datetime | None = None, **cohort: str
) -> None:
    with connect(settings) as client:
        client.insert(
            "overrides",
            [
                (
                    name,
                    cohort.get("tenant_id", ""),
                    cohort.get("model", ""),
                    cohort.get("prompt_template_version", ""),
                    *("sampling_rate", value, until, "test"),
                )
            ],
            column_names=[
                *("override_id", "tenant_id", "model", "prompt_template_version"),
                *("what", "value", "until", "set_by"),
            ],
        )


def rate_of(settings: Settings, tenant_id: str, model: str, template: str) -> float:
    with connect(settings) as client:
        rate = client.query(
            f"WITH ({sampling.OVERRIDES}) AS rules SELECT {sampling.overridden('0.1')} FROM "
            "(SELECT {t:String} AS tenant_id, {m:String} AS model, {p:String} AS prompt_template_version)",
            parameters={"t": tenant_id, "m": model, "p": template},
        ).result_rows[0][0]
        return float(rate)


def test_the_most_specific_override_in_force_counts(migrated: Settings) -> None:
    assert rate_of(migrated, "a", "m", "t") == 0.1, "without overrides the tier's"
    put_override(migrated, "all", "0.2")
    put_override(migrated, "tenant", "0.3", tenant_id="a")
    put_override(migrated, "both", "1", tenant_id="a", model="m")
    hour = timedelta(hours=1)
    put_override(migrated, "over", "0.9", until=datetime.now(UTC) - hour, tenant_id="a", model="n")
    put_override(migrated, "running", "0.8", until=datetime.now(UTC) + hour, model="r")
    put_override(migrated, "wrong", "often", tenant_id="a", model="m", prompt_template_version="t")
    put_override(migrated, "more", "1.5", tenant_id="b")

    assert rate_of(migrated, "a", "m", "t") == 1.0
    assert rate_of(migrated, "a", "n", "t") == 0.3
    assert rate_of(migrated, "b", "n", "t") == 0.2
    assert rate_of(migrated, "b", "r", "t") == 0.8
    with connect(migrated) as client:
        assert sampling.refused_overrides(client) == [
            "override more: value '1.5' is not a rate between 0 and 1",
            "override wrong: value 'often' is not a rate between 0 and 1",
        ]
