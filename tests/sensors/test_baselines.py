"""Baselines: the SQL against the same formula in numpy, and what goes into a past and what does not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import product

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client

from assay.settings import Settings
from assay.warehouse.client import connect
from sensors import alerts, baselines
from sensors.alerts import Event
from sensors.policy import load
from tests.support.llm_traffic import Stream, write

POLICY = load()
# Minute rollups live 90 days from the minute, so the past of a test is a recent one.
TODAY = datetime.now(UTC).date()
MIDNIGHT = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)


@pytest.fixture
def client(built: Settings) -> Iterator[Client]:
    with connect(built) as found:
        yield found


def stored(
    client: Client, as_of: date, measure: str, scope: str
) -> dict[tuple[str, str, str], dict[str, float]]:
    rows = client.query(
        "SELECT tenant_id, model, prompt_template_version, median, std, spread, sample_count, hours "
        "FROM kpi_baselines FINAL WHERE as_of = {day:Date} AND measure = {measure:String} "
        "AND scope = {scope:String}",
        parameters={"day": as_of, "measure": measure, "scope": scope},
    ).named_results()
    return {(r["tenant_id"], r["model"], r["prompt_template_version"]): r for r in rows}


def bucket_quantile(values: np.ndarray, level: float) -> float:
    """As the rollups' histograms give it: the middle of the bucket of 2 % that holds the quantile."""
    ordered = np.sort(values)
    value = ordered[max(math.ceil(level * ordered.size) - 1, 0)]
    return 2 * 1.02 ** math.ceil(math.log(value) / math.log(1.02)) / 2.02


def weighted_quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    """Of the values repeated as often as they weigh, interpolated linearly."""
    order = np.argsort(values)
    values, reached = values[order], np.cumsum(weights[order])
    position = level * (reached[-1] - 1)
    low, high = (
        values[np.searchsorted(reached, p, side="right")] for p in (math.floor(position), math.ceil(position))
    )
    return float(low + (high - low) * (position - math.floor(position)))


def reference(hours: dict[datetime, np.ndarray], as_of: date) -> dict[str, float]:
    """The formula of the module's docstring, in numpy."""
    midnight = datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC)
    medians, spreads, weights, samples = [], [], [], 0
    for hour, costs in hours.items():
        if not midnight - timedelta(days=POLICY.baseline.lookback_days) <= hour < midnight:
            continue
        age_days = (midnight - hour - timedelta(hours=1)) / timedelta(days=1)
        median, high = bucket_quantile(costs, 0.5), bucket_quantile(costs, 0.95)
        medians.append(median)
        spreads.append(median * math.log(high / median) / 1.645 if high > median else 0.0)
        weights.append(max(1, round(10_000 * costs.size * 2 ** (-age_days / POLICY.baseline.half_life_days))))
        samples += costs.size
    m, s, w = np.array(medians), np.array(spreads), np.array(weights, dtype=np.int64)
    quartiles = [weighted_quantile(m, w, level) for level in (0.25, 0.5, 0.75)]
    return {
        "median": quartiles[1],
        "std": (quartiles[2] - quartiles[0]) / 1.349,
        "spread": weighted_quantile(s, w, 0.5),
        "sample_count": samples,
        "hours": m.size,
    }


def test_the_sql_equals_the_formula_in_numpy(client: Client) -> None:
    """Three streams whose costs drift over 12 days, at uneven volumes; two as-of days in one call."""
    rng = np.random.default_rng(3)
    streams = [
        Stream(template="rag-v1"),
        Stream(template="rag-v2", model="large", cost_usd=0.01),
        Stream(tenant_id="org_2", template="chat"),
    ]
    for day, (n, stream) in product(range(12), enumerate(streams)):
        start = MIDNIGHT - timedelta(days=day + 1)
        drifted = stream.but(cost_usd=stream.cost_usd * 1.05**day, per_minute=float(rng.uniform(0.05, 0.4)))
        write(client, drifted, start, start + timedelta(hours=24), seed=100 * n + day)
    days = [TODAY - timedelta(days=2), TODAY]
    counts = baselines.refresh(client, days[0], days[1], POLICY)
    assert list(counts) == [days[0], days[0] + timedelta(days=1), days[1]]

    hours: dict[tuple[str, str, str, str], dict[datetime, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for tenant, model, template, hour, cost in client.query(
        "SELECT tenant_id, model, prompt_template_version, toStartOfHour(timestamp), toFloat64(cost_usd) "
        "FROM llm_traces",
        tz_mode="aware",
    ).result_rows:
        family = {"rag-v1": "rag", "rag-v2": "rag", "chat": "chat"}[template]
        for key in (
            ("tenant", tenant, "", ""),
            ("model", tenant, model, ""),
            ("template", tenant, "", template),
            ("family", tenant, "", family),
            ("series", tenant, model, template),
        ):
            hours[key][hour].append(cost)
    for as_of, scope in product(days, baselines.SCOPES):
        found = stored(client, as_of, "cost", scope)
        expected = {key[1:]: values for key, values in hours.items() if key[0] == scope}
        assert found.keys() == expected.keys()
        for key, values in expected.items():
            wanted = reference({hour: np.array(costs) for hour, costs in values.items()}, as_of)
            for name, value in wanted.items():
                assert found[key][name] == pytest.approx(value, rel=1e-6), (as_of, scope, key, name)
    assert (
        counts[TODAY]
        == client.query(
            "SELECT count() FROM kpi_baselines FINAL WHERE as_of = {d:Date}", parameters={"d": TODAY}
        ).first_item["count()"]
    )


def test_recent_days_weigh_more(client: Client) -> None:
    """A price that doubled a week ago: old and new weigh alike after one half-life, then the new one wins."""
    stream = Stream(cost_sigma=0.0)
    for days, cost in ((20, 0.001), (6, 0.002)):
        start = MIDNIGHT - timedelta(days=days)
        write(client, stream.but(per_minute=1.0, cost_usd=cost), start, start + timedelta(days=6))
    baselines.refresh(client, TODAY - timedelta(days=10), TODAY, POLICY)
    before = stored(client, TODAY - timedelta(days=10), "cost", "tenant")["org_1", "", ""]
    after = stored(client, TODAY, "cost", "tenant")["org_1", "", ""]
    assert before["median"] == pytest.approx(0.001, rel=0.02)
    assert after["median"] == pytest.approx(0.002, rel=0.02)


def test_quality_is_kept_apart_by_evaluator_and_weighted_by_the_sampling_rate(client: Client) -> None:
    start = MIDNIGHT - timedelta(days=1)
    for evaluator, quality, judged in (("judge", 0.8, 1.0), ("heuristic", 0.4, 0.2)):
        stream = Stream(
            evaluator=evaluator, quality=quality, judged=judged, quality_sigma=0.02, per_minute=2.0
        )
        write(client, stream, start, start + timedelta(hours=6), seed=len(evaluator))
    baselines.refresh(client, TODAY, TODAY, POLICY)
    rows = client.query(
        "SELECT evaluator, median FROM kpi_baselines WHERE measure = 'quality' AND scope = 'template'"
    ).result_rows
    assert dict(rows) == {"judge": pytest.approx(0.8, abs=0.01), "heuristic": pytest.approx(0.4, abs=0.01)}


def test_experiments_and_the_day_itself_are_left_out(client: Client) -> None:
    write(client, Stream(), MIDNIGHT - timedelta(hours=4), MIDNIGHT)
    write(client, Stream(cost_usd=9.0, experiment_id="e"), MIDNIGHT - timedelta(hours=4), MIDNIGHT)
    write(client, Stream(cost_usd=9.0), MIDNIGHT, MIDNIGHT + timedelta(minutes=30))
    baselines.refresh(client, TODAY, TODAY, POLICY)
    found = stored(client, TODAY, "cost", "tenant")["org_1", "", ""]
    assert found["hours"] == 4
    assert found["median"] == pytest.approx(0.002, rel=0.1)


def test_the_hours_of_a_page_are_left_out(client: Client) -> None:
    start = MIDNIGHT - timedelta(days=2)
    write(client, Stream(per_minute=1), start, start + timedelta(hours=24))
    write(client, Stream(per_minute=1, cost_usd=0.02), start + timedelta(hours=24), MIDNIGHT)
    without = baselines.refresh(client, TODAY, TODAY, POLICY)
    dear = stored(client, TODAY, "cost", "tenant")["org_1", "", ""]
    assert without[TODAY] > 0
    assert dear["median"] > 0.01

    def event(kind: str, at: datetime, level: str = "page") -> Event:
        return Event("a1", kind, at, "org_1", level, "dual-cost-led", "tenant", "", "", "production", "test")

    opened = event("opened", start + timedelta(hours=24, minutes=10))
    alerts.write(client, [opened])
    baselines.refresh(client, TODAY, TODAY, POLICY)
    frozen = stored(client, TODAY, "cost", "tenant")["org_1", "", ""]
    assert frozen["median"] == pytest.approx(0.002, rel=0.1)
    # The lead of an hour takes the last good hour with it.
    assert frozen["hours"] == 23

    alerts.write(client, [event("resolved", start + timedelta(hours=30))])
    baselines.refresh(client, TODAY, TODAY, POLICY)
    assert stored(client, TODAY, "cost", "tenant")["org_1", "", ""]["hours"] == 23 + 17


def test_investigations_are_part_of_the_past(client: Client) -> None:
    write(client, Stream(per_minute=1), MIDNIGHT - timedelta(hours=6), MIDNIGHT)
    alerts.write(
        client,
        [
            Event(
                "a1", "opened", MIDNIGHT - timedelta(hours=3), "org_1", "investigate", "cost-spike", "tenant",
                "", "", "production", "test",
            )
        ],
    )  # fmt: skip
    baselines.refresh(client, TODAY, TODAY, POLICY)
    assert stored(client, TODAY, "cost", "tenant")["org_1", "", ""]["hours"] == 6


def test_without_a_past_there_are_no_baselines(client: Client) -> None:
    assert baselines.refresh(client, TODAY, TODAY, POLICY) == {TODAY: 0}


def test_a_range_that_runs_backwards_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match=r"`last` = .* must not be before `first` = "):
        baselines.refresh(client, TODAY, TODAY - timedelta(days=1), POLICY)


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("rag-v3.2", "rag"),
        ("summarize-2@v4", "summarize-2"),
        ("rag_answer_v10", "rag_answer"),
        ("chat", "chat"),
        ("v2", "v2"),
        ("", ""),
    ],
)
def test_the_family_of_a_template(client: Client, name: str, family: str) -> None:
    found = client.query(
        f"SELECT {baselines.template_family('{t:String}')} AS family", parameters={"t": name}
    )
    assert found.first_item["family"] == family
