"""What the generated traffic has to look like for the rest to mean anything."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from genai_prices import Usage, calc_price
from scipy.stats import spearmanr

from assay.simulator import history, records, texts, traffic
from assay.simulator.traffic import Calls
from assay.simulator.world import HUMAN_MINUTES, MODELS, SOURCE, WORLD, releases_on, version

START = datetime(2026, 10, 25, 7, 30, tzinfo=UTC)
END = START + timedelta(days=30)


@pytest.fixture(scope="module")
def month() -> Calls:
    return traffic.between(START, END)


def series_index(tenant: str, template: str) -> int:
    return next(i for i, (c, t) in enumerate(WORLD.series) if (c.tenant_id, t.name) == (tenant, template))


def test_a_month_has_the_size_that_is_promised(month: Calls) -> None:
    assert 150_000 <= len(month) <= 250_000
    assert len(set(month.trace.tolist())) == len(month)
    assert (np.diff(month.at_us) >= 0).all()
    assert month.at_us[0] >= START.timestamp() * 1e6
    assert month.at_us[-1] < END.timestamp() * 1e6


def test_the_same_day_is_the_same_however_it_is_asked_for(month: Calls) -> None:
    day = date(2026, 11, 3)
    alone = traffic.day_of_calls(day)
    low = int(datetime(2026, 11, 3, tzinfo=UTC).timestamp() * 1e6)
    within = month.take((month.at_us >= low) & (month.at_us < low + 86_400_000_000))
    for field in fields(Calls):
        assert np.array_equal(
            getattr(alone, field.name), getattr(within, field.name), equal_nan=field.name == "ttft_ms"
        ), field.name
    assert not np.array_equal(traffic.day_of_calls(day, seed=1).trace[:5], alone.trace[:5])


def test_weekends_are_quieter_and_days_have_a_peak(month: Calls) -> None:
    legal = month.take(month.series == series_index("globex", "contract-qa"))
    weekday = (legal.at_us // 86_400_000_000 + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0.
    per_day = np.bincount(weekday, minlength=7)
    assert per_day[5:].mean() < 0.3 * per_day[:5].mean()
    hours = np.bincount(legal.at_us // 3_600_000_000 % 24, minlength=24)
    assert abs(int(np.argmax(np.convolve(hours, np.ones(5), "same"))) - 12.5) <= 2
    assert hours.max() > 4 * hours.min()


def test_tokens_latency_and_errors_are_plausible(month: Calls) -> None:
    assert (month.cached <= month.prompt).all()
    answered = month.status != 1
    assert (month.ttft_ms[answered] <= month.latency_ms[answered]).all()
    assert np.isnan(month.ttft_ms[~answered]).all()
    assert 0.003 < (~answered).mean() < 0.007
    assert not month.completion[~answered].any()
    # Longer answers take longer; the prompt and chance have their share too.
    haiku = answered & (month.model == list(MODELS).index("claude-haiku-4-5"))
    assert spearmanr(month.completion[haiku], month.latency_ms[haiku]).statistic > 0.6


def test_one_template_has_a_poor_cache_hit_rate_and_the_others_do_not(month: Calls) -> None:
    rates = {}
    for i, (_, template) in enumerate(WORLD.series):
        of = month.take(month.series == i)
        if template.prefix:
            rates[template.name] = of.cached.sum() / of.prompt.sum()
    assert rates.pop("search-answer") < 0.3
    assert min(rates.values()) > 0.3


def test_the_experiment_has_two_arms_of_one_tenant_and_the_treatment_is_cheaper_and_worse(
    month: Calls,
) -> None:
    assert set(month.series[month.arm > 0].tolist()) == {series_index("initech", "code-review")}
    control, treatment = month.take(month.arm == 1), month.take(month.arm == 2)
    assert 0.8 < len(control) / len(treatment) < 1.25
    assert treatment.prompt.mean() < 0.7 * control.prompt.mean()
    assert treatment.score.mean() < control.score.mean()


def test_the_incident_costs_more_and_answers_worse_than_the_rules_ask_for() -> None:
    ((index, shift),) = traffic.shifted().items()
    at_us = np.full(4000, int(START.timestamp() * 1e6))
    normal = traffic.calls(np.random.default_rng(1), index, at_us)
    bad = traffic.calls(np.random.default_rng(2), index, at_us, shift=shift)

    def median_cost(calls: Calls) -> float:
        costs = [
            calc_price(
                Usage(
                    input_tokens=s.tokens.prompt,
                    output_tokens=s.tokens.completion,
                    cache_read_tokens=s.tokens.cached,
                ),
                s.model,
            ).total_price
            for s in records.spans(calls.take(np.arange(400)))
        ]
        return float(np.median([float(cost) for cost in costs]))

    assert 2.5 < median_cost(bad) / median_cost(normal) < 4.5
    assert np.median(bad.score) < 0.7 * np.median(normal.score)
    assert {records.model_name(m) for m in bad.model.tolist()} == {"claude-sonnet-4-5"}
    assert {s.prompt_template_version for s in records.spans(bad)} == {"rag-answer-v3"}


def test_every_model_but_the_self_hosted_one_has_a_list_price() -> None:
    priced = {}
    for model in MODELS.values():
        try:
            calc_price(Usage(input_tokens=10, output_tokens=1), model.name)
        except LookupError:
            priced[model.name] = False
        else:
            priced[model.name] = True
    assert [name for name, known in priced.items() if not known] == ["hooli-intent-7b"]


def test_spans_are_valid_records_and_carry_text_on_request(month: Calls) -> None:
    few = month.take(np.arange(200))
    plain = list(records.spans(few))
    assert all(s.input is None and s.output is None and s.context is None for s in plain)
    told = list(records.spans(few, with_text=True))
    documents = {d.question: d for d in texts.DOCUMENTS}
    for span, answer in zip(told, few.answer.tolist(), strict=True):
        assert span.input is not None
        document = documents[span.input]
        assert span.context == list(document.facts)
        assert span.status == "error" or span.output == texts.answer_text(document, texts.ANSWERS[answer])


def test_a_released_template_changes_its_version_at_noon() -> None:
    _, template = WORLD.series[series_index("acme", "reply-draft")]
    day = next(
        d
        for d in (date(2026, 11, 1) + timedelta(days=n) for n in range(14))
        if releases_on(template, d.toordinal())
    )
    calls = traffic.day_of_calls(day)
    draft = calls.take(calls.series == series_index("acme", "reply-draft"))
    noon = draft.at_us % 86_400_000_000 >= 43_200_000_000
    before = version(template, day.toordinal())
    assert set(draft.version[~noon].tolist()) == {before}
    assert set(draft.version[noon].tolist()) == {before + 1}


def test_a_month_holds_two_releases_or_more_and_what_follows_from_calls() -> None:
    days = list(history.days(START, END))
    assert len(list(history.deployments(START, END))) >= 2
    evaluations = [e for day in days for e in history.evaluations(day)]
    traces = {trace for day in days for trace in day.calls.trace.tolist()}
    assert {e.trace_id for e in evaluations} <= traces
    rates = {e.sampling_rate for e in evaluations}
    assert rates == {1.0, 0.1, 0.01}
    # Weighted by 1 / rate, the sample stands for all answered calls.
    stands_for = sum(1 / e.sampling_rate for e in evaluations)
    answered = sum(
        int(
            (
                (d.calls.status != 1)
                & (d.calls.at_us >= START.timestamp() * 1e6)
                & (d.calls.at_us < END.timestamp() * 1e6)
            ).sum()
        )
        for d in days
    )
    assert abs(stands_for / answered - 1) < 0.05
    assert sum(e.score is None for e in evaluations) > 0
    outcomes = [o for day in days for o in history.outcomes(day)]
    assert {o.event for o in outcomes} == {"conversion", "escalation"}
    owners = {s.trace_id: s.tenant_id for day in days for s in history.spans(day, START, END)}
    assert {o.tenant_id == owners[o.trace_id] for o in outcomes} == {True}
    assert {f.value for day in days for f in history.feedback(day)} == {1.0, -1.0}


def test_labels_are_enough_to_calibrate_on_and_agree_with_the_judge() -> None:
    days = list(history.days(START, END))
    labels = [label for day in days for label in history.labels(day)]
    scores = {e.trace_id: e.score for day in days for e in history.evaluations(day)}
    by_trace: dict[str, list[float]] = {}
    for label in labels:
        by_trace.setdefault(label.trace_id, []).append(label.score)
    judged = {trace: rated for trace, rated in by_trace.items() if scores[trace] is not None}
    assert len(judged) >= 120
    assert {len(rated) for rated in by_trace.values()} == {2}
    found = spearmanr([np.mean(rated) for rated in judged.values()], [scores[trace] for trace in judged])
    assert found.statistic > 0.7


def test_worse_answers_are_liked_less_and_escalate_more() -> None:
    days = list(history.days(START, END))
    rated = np.concatenate([d.calls.worth[d.rated] for d in days])
    approved = np.concatenate([d.approved[d.rated] for d in days])
    assert rated[approved == 1].mean() > rated[approved == 0].mean() + 0.1
    every = np.concatenate([d.calls.worth for d in days])
    escalated = np.concatenate([d.calls.worth[d.escalated] for d in days])
    assert escalated.mean() < every.mean() - 0.1


def test_people_are_timed_at_every_type_of_task() -> None:
    times = list(history.task_times(START, END))
    by_type = {name: [t.human_minutes for t in times if t.task_type == name] for name in HUMAN_MINUTES}
    assert {template.task_type for _, template in WORLD.series} == set(HUMAN_MINUTES)
    # Every noon of the month, and marked as what they are.
    assert {len(found) for found in by_type.values()} == {30}
    assert {t.source for t in times} == {SOURCE}
    assert all(START <= t.timestamp < END for t in times)
    medians = {name: float(np.median(found)) for name, found in by_type.items()}
    assert medians == pytest.approx(HUMAN_MINUTES, rel=0.35)
    assert sorted(medians, key=medians.__getitem__) == sorted(HUMAN_MINUTES, key=HUMAN_MINUTES.__getitem__)


def test_the_same_stretch_is_timed_the_same_however_it_is_asked_for() -> None:
    middle = START + timedelta(days=11, hours=3)
    whole = list(history.task_times(START, END))
    assert [*history.task_times(START, middle), *history.task_times(middle, END)] == whole
