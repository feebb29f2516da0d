"""The judge's stand-in, through the real Anthropic client over loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import anthropic
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.simulator import judge_double, texts
from assay.simulator.judging import assess, verdict_of
from tests.support.processes import answers, free_port, python, running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    found = f"http://127.0.0.1:{port}"
    argv = python("assay.simulator.judge_double", "--port", str(port))
    with running(argv, ready=answers(f"{found}/healthz"), log=tmp_path_factory.mktemp("judge") / "log.txt"):
        yield found


@pytest.fixture
def client(url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="simulated", base_url=url, max_retries=0) as found:
        yield found


def exchange(document: texts.Document, answer: texts.Answer) -> str:
    return json.dumps(
        {
            "task": "rag",
            "question": document.question,
            "documents": list(document.facts),
            "answer": texts.answer_text(document, answer),
        }
    )


def ask(client: anthropic.Anthropic, prompt: str) -> tuple[dict[str, object], anthropic.types.Message]:
    message = client.messages.create(
        model="claude-haiku-4-5",
        max_tokens=400,
        system="You assess answers.",
        messages=[{"role": "user", "content": prompt}],
    )
    (block,) = message.content
    assert block.type == "text"
    return json.loads(block.text), message


def test_a_paced_judge_takes_the_time_that_its_answer_takes_to_write() -> None:
    app = judge_double.create_app(tokens_per_second=400)
    body = {"model": "m", "max_tokens": 400, "messages": [{"role": "user", "content": "Nothing to judge."}]}

    async def asked() -> tuple[float, int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://judge") as http:
            began = time.monotonic()
            answer = await http.post("/v1/messages", json=body, headers={"x-api-key": "simulated"})
            return time.monotonic() - began, answer.json()["usage"]["output_tokens"]

    elapsed, tokens = asyncio.run(asked())
    assert tokens > 5
    assert elapsed >= tokens / 400


@pytest.mark.parametrize("document", texts.DOCUMENTS, ids=lambda d: d.question[:20])
def test_better_answers_get_better_scores(client: anthropic.Anthropic, document: texts.Document) -> None:
    verdicts = [ask(client, exchange(document, answer))[0] for answer in texts.ANSWERS]
    scores = [float(str(verdict["score"])) for verdict in verdicts]
    assert scores == sorted(scores, reverse=True)
    assert [v["verdict"] for v in verdicts] == [verdict_of(score) for score in scores]
    assert (verdicts[0]["verdict"], verdicts[-1]["verdict"]) == ("good", "poor")


def test_the_answer_is_in_the_shape_of_the_api_and_says_that_it_is_simulated(
    client: anthropic.Anthropic,
) -> None:
    verdict, message = ask(client, exchange(texts.DOCUMENTS[0], texts.ANSWERS[0]))
    assert message.model == "simulated-judge"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 50
    assert message.usage.output_tokens > 10
    assert str(verdict["reason"]).startswith("Simulated:")


def test_the_same_answer_judged_again_differs_by_a_little(client: anthropic.Anthropic) -> None:
    prompt = exchange(texts.DOCUMENTS[1], texts.ANSWERS[2])
    scores = {float(str(ask(client, prompt)[0]["score"])) for _ in range(8)}
    assert len(scores) > 1
    assert max(scores) - min(scores) < 0.25


def test_nothing_to_judge_is_unknown(client: anthropic.Anthropic) -> None:
    verdict, _ = ask(client, "Is anybody there? {not json")
    assert (verdict["verdict"], verdict["score"]) == ("unknown", None)


def test_errors_are_those_of_the_api(url: str, client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="at least one message"):
        client.messages.create(model="m", max_tokens=1, messages=[])
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(model="m", max_tokens=0, messages=[{"role": "user", "content": "x"}])
    with pytest.raises(anthropic.NotFoundError):
        client.models.list()
    assert httpx.post(f"{url}/v1/messages", json={}, trust_env=False).status_code == 401
    answer = httpx.post(f"{url}/v1/messages", content=b"{", headers={"x-api-key": "k"}, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_any_text_gets_a_score_between_0_and_1(question: str, material: str, answer: str) -> None:
    assert 0 <= assess(question, material, answer) <= 1


@given(st.text(max_size=300))
def test_any_prompt_gets_a_verdict(prompt: str) -> None:
    found = judge_double.judge(prompt)
    assert (found["verdict"] == "unknown") == (found["score"] is None)


def test_repeating_the_material_is_worth_all_and_inventing_next_to_nothing() -> None:
    document = texts.DOCUMENTS[0]
    material = " ".join(document.facts)
    invented = " ".join(document.inventions)
    assert assess(document.question, material, "") == 0
    assert assess(document.question, material, invented) < 0.2
    assert assess(document.question, material, material) == 1
