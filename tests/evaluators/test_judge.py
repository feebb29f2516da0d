"""The judge through the real client, against a scripted provider."""

from __future__ import annotations

import asyncio
import json

import anthropic
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.settings import Settings
from evaluators import judge
from evaluators.judge import Answer, Call, Exchange, Judge, Judgement
from tests.support.messages_api import MessagesApi, Reply, verdict

EXCHANGE = Exchange(question="Can I return shoes?", answer="Yes, within 30 days.", documents=["30 days."])


def ask(
    api: MessagesApi, exchange: Exchange = EXCHANGE, *, timeout_s: float = 10
) -> tuple[Judgement, list[Call]]:
    calls: list[Call] = []

    async def meter(call: Call) -> None:
        calls.append(call)

    async def run() -> Judgement:
        settings = Settings(anthropic_api_key="key", anthropic_base_url=api.url, judge_timeout_s=timeout_s)
        async with judge.connect(settings) as client:
            asked = Judge(client, "claude-haiku-4-5", judge.template("llm-as-judge", "v1"))
            return await asked.ask(exchange, meter)

    return asyncio.run(run()), calls


def test_asks_with_the_template_and_the_exchange_as_json(provider: MessagesApi) -> None:
    judgement, calls = ask(provider)

    assert judgement.answer == Answer("Supported and complete.", "good", 0.9)
    (request,) = provider.requests
    assert request["system"] == judge.template("llm-as-judge", "v1")
    assert json.loads(request["messages"][0]["content"]) == {
        "question": "Can I return shoes?",
        "answer": "Yes, within 30 days.",
        "documents": ["30 days."],
    }
    assert request["output_config"]["format"]["type"] == "json_schema"
    assert [(c.prompt, c.completion, c.response_model) for c in calls] == [
        (1000, 50, "claude-haiku-4-5-20251001")
    ]


def test_cached_tokens_are_part_of_the_prompt(provider: MessagesApi) -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 7,
        "cache_read_input_tokens": 800,
        "cache_creation_input_tokens": 100,
    }
    provider.answer_with(Reply(verdict(0.5, "partial").text, usage=usage))

    _, (call,) = ask(provider)

    assert (call.prompt, call.cached, call.cache_write, call.completion) == (1000, 800, 100, 7)


def test_unknown_is_an_answer(provider: MessagesApi) -> None:
    provider.answer_with(verdict(None, "unknown"))

    judgement, calls = ask(provider)

    assert judgement.answer is not None
    assert judgement.answer.score is None
    assert len(calls) == 1


def test_a_malformed_answer_is_asked_for_once_more(provider: MessagesApi) -> None:
    provider.answer_with(Reply("I would say 0.8."), verdict(0.8))

    judgement, calls = ask(provider)

    assert judgement.answer is not None
    assert judgement.answer.score == 0.8
    assert len(calls) == 2, "both calls were paid for"
    assert [turn["role"] for turn in provider.requests[1]["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize("text", ["not JSON", "", '{"reason": "", "verdict": "good", "score": 7}'])
def test_two_malformed_answers_are_no_score(provider: MessagesApi, text: str) -> None:
    provider.answer_with(Reply(text))

    judgement, calls = ask(provider)

    assert judgement == Judgement(None, "malformed")
    assert len(calls) == 2


def test_a_refusal_of_the_judge_is_not_asked_again(provider: MessagesApi) -> None:
    provider.answer_with(Reply(stop_reason="refusal"))

    judgement, calls = ask(provider)

    assert judgement == Judgement(None, "refused")
    assert len(calls) == 1


@pytest.mark.parametrize("status", [429, 529, 500])
def test_a_busy_provider_is_tried_again(provider: MessagesApi, status: int) -> None:
    busy = Reply(status=status, retry_after_s=0.01)
    provider.answer_with(busy, busy, verdict(1.0))

    judgement, calls = ask(provider)

    assert judgement.answer is not None
    assert len(provider.requests) == 3
    assert len(calls) == 1, "only an answered call costs"


def test_a_provider_that_stays_busy_is_an_error(provider: MessagesApi) -> None:
    provider.answer_with(Reply(status=429, retry_after_s=0.01))

    with pytest.raises(anthropic.RateLimitError):
        ask(provider)


def test_a_slow_provider_times_out(provider: MessagesApi) -> None:
    provider.answer_with(Reply(delay_s=0.6))

    with pytest.raises(anthropic.APITimeoutError):
        ask(provider, timeout_s=0.1)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('{"reason": "", "verdict": "good", "score": null}', "null exactly where"),
        ('{"reason": "", "verdict": "unknown", "score": 0.1}', "null exactly where"),
        ('{"reason": "", "verdict": "excellent", "score": 1}', "verdict"),
        ('{"reason": "", "verdict": "good", "score": 1.5}', "score"),
        ('{"reason": "", "verdict": "good", "score": true}', "score"),
        ('{"verdict": "good", "score": 1}', "reason"),
        ('{"reason": "", "verdict": "good", "score": 1, "more": 2}', "more"),
        ('[{"reason": "", "verdict": "good", "score": 1}]', "array"),
        ("[" * 100_000, "array"),
    ],
)  # fmt: skip
def test_refuses_what_is_not_the_answer_asked_for(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        judge.parse(text)


@given(st.text())
def test_any_text_is_an_answer_or_a_value_error(text: str) -> None:
    try:
        answer = judge.parse(text)
    except ValueError:
        return
    assert answer.score is None or 0 <= answer.score <= 1


@given(st.text(), st.text(), st.lists(st.text()))
def test_material_is_one_json_object_whatever_it_holds(
    question: str, answer: str, documents: list[str]
) -> None:
    shown = msgspec.json.decode(judge.material(Exchange(question, answer, documents)), type=Exchange)

    assert shown == Exchange(question, answer, documents)


def test_long_texts_keep_both_ends() -> None:
    short = judge.shortened("a" * 5000 + "b" * 5000, 1000)

    assert short.startswith("a" * 500)
    assert short.endswith("b" * 500)
    assert "9000 characters left out" in short
    documents = ["x" * 90_000, "y" * 10_000]
    shown = json.loads(judge.material(Exchange("q", "a", documents)))["documents"]
    assert [len(d) > 1000 for d in shown] == [True, True], "every document keeps its share"


@pytest.mark.parametrize(
    ("name", "version"), [("llm-as-judge", "v0"), ("nobody", "v1"), ("../judges/llm-as-judge", "v1")]
)
def test_an_unknown_judge_is_named(name: str, version: str) -> None:
    with pytest.raises(judge.TemplateError, match="its versions are"):
        judge.template(name, version)


def test_no_judge_without_a_key() -> None:
    with pytest.raises(ValueError, match="ANTHROPIC_API_KEY"):
        judge.connect(Settings(anthropic_api_key=None))
