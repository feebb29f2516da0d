"""Checks of an answer's text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.heuristics import Exchange, Finding, assess, ends_in_loop, is_json, is_refusal

PROMPT = "Summarise what the customer wants, in one sentence."
ANSWER = "The customer wants to return a pair of shoes that does not fit and asks who pays for the parcel."
FINE = Exchange(question=PROMPT, answer=ANSWER, finish_reason="end_turn")


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (FINE, Finding(1.0, "no_finding")),
        (replace(FINE, answer=" \n", completion_tokens=0), Finding(0.0, "empty")),
        # Billed tokens without text: tool calls, or a source that sends no text. Unknown, not bad.
        (replace(FINE, answer="", completion_tokens=40), Finding(None, "no_text")),
        (replace(FINE, answer="", completion_tokens=0, finish_reason="tool_use"), Finding(None, "no_text")),
        (replace(FINE, finish_reason="max_tokens"), Finding(0.5, "truncated")),
        (replace(FINE, finish_reason="length"), Finding(0.5, "truncated")),
        (replace(FINE, finish_reason="MAX_TOKENS"), Finding(0.5, "truncated")),
        (replace(FINE, answer="I'm sorry, but I can't help with that."), Finding(0.5, "refusal")),
        (replace(FINE, answer="return return " * 40), Finding(0.0, "repetition")),
        (replace(FINE, answer=f"{PROMPT} {ANSWER}"), Finding(0.0, "copy_of_prompt")),
        (replace(FINE, prompt_template_version="extract-json-v2"), Finding(0.0, "invalid_json")),
        (replace(FINE, task_type="JSON"), Finding(0.0, "invalid_json")),
        (replace(FINE, answer='{"a": 1}', task_type="json"), Finding(1.0, "no_finding")),
        (replace(FINE, answer='{"a": 1', task_type="json", finish_reason="length"), Finding(0.0,
        "invalid_json")),
        # "json" inside another word says nothing about the answer.
        (replace(FINE, task_type="jsonnet"), Finding(1.0, "no_finding")),
        # Short prompts are repeated by good answers.
        (replace(FINE, question="Paris?", answer="Paris? Yes, the meeting is in Paris."), Finding(1.0,
        "no_finding")),
    ],
)  # fmt: skip
def test_finds_the_worst_fault(exchange: Exchange, expected: Finding) -> None:
    assert assess(exchange) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I’m sorry, I cannot do this.", True),
        ("Sorry, I can't provide medical advice.", True),
        ("I cannot assist with this request.", True),
        ("I'm unable to provide that information.", True),
        ("As an AI language model, I cannot browse the web.", True),
        ("Unfortunately, I am unable to open the file.", True),
        ("I am sorry to hear that your parcel is late. It leaves today.", False),
        ("Unfortunately the item is out of stock.", False),
        ("I can help with that.", False),
        ("She said: I cannot help you.", False),
        ("I cannot recommend this hotel enough.", False),
    ],
)
def test_refusals(text: str, expected: bool) -> None:
    assert is_refusal(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is late. " + "I will check the order. " * 6, True),
        ("of the " * 20 + "of th", True),
        ("好的" * 12, True),
        ("The answer is " + "very " * 3 + "good.", False),
        ("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", False),
        ("- apples: 3\n- pears: 4\n- plums: 5\n- figs: 6\n- nuts: 7\n- dates: 8\n- limes: 9\n", False),
        ("Chorus. " + "Row, row, row your boat gently down the stream. " * 2 + "Life is but a dream.", False),
    ],
)
def test_loops(text: str, expected: bool) -> None:
    assert ends_in_loop(text) is expected


@given(
    unit=st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"]), min_size=1, max_size=12),
    copies=st.integers(6, 30),
    start=st.lists(st.sampled_from(["one", "two", "three", "four"]), max_size=30),
)
def test_every_long_enough_repetition_is_a_loop(unit: list[str], copies: int, start: list[str]) -> None:
    words = unit * copies
    # The last word counts as cut off.
    text = " ".join([*start, *words, "x"])

    assert ends_in_loop(text) is (len(words) >= 16)


@given(st.lists(st.integers(), min_size=16, unique=True))
def test_words_that_all_differ_are_no_loop(numbers: list[int]) -> None:
    assert not ends_in_loop(" ".join(f"n{number}".replace("-", "m") for number in numbers))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists, max_leaves=10
    )
)
def test_json_is_recognised_bare_and_fenced(value: object) -> None:
    text = json.dumps(value)

    assert is_json(text)
    assert is_json(f"```json\n{text}\n```")
    assert not is_json(text + " }")


@given(st.text(), st.text(), st.integers(0, 10), st.text(), st.text())
def test_any_text_has_a_finding(question: str, answer: str, tokens: int, reason: str, template: str) -> None:
    found = assess(Exchange(question, answer, tokens, reason, template))

    assert found.score in (None, 0.0, 0.5, 1.0)
    assert (found.score is None) == (found.verdict == "no_text")
