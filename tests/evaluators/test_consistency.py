"""What several opinions say together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.consistency import Opinion, combine
from evaluators.judge import Answer, Judgement


def judged(score: float | None, verdict: str = "good") -> Judgement:
    return Judgement(Answer("", "unknown" if score is None else verdict, score))  # type: ignore[arg-type]


MALFORMED = Judgement(None, "malformed")


@pytest.mark.parametrize(
    ("judgements", "expected"),
    [
        # One opinion says nothing about confidence: unknown is not certain.
        ([judged(0.9)], Opinion(0.9, "good", None)),
        ([judged(None)], Opinion(None, "unknown", None)),
        ([MALFORMED], Opinion(None, "malformed", None)),
        ([judged(0.5, "partial")] * 3, Opinion(0.5, "partial", 1.0)),
        # Deviation of (0, 0, 1) is 0.4714 of 0.5 possible.
        ([judged(0.0, "poor"), judged(0.0, "poor"), judged(1.0)], Opinion(1 / 3, "poor", 1 - 2 * 0.4714045)),
        ([judged(0.9), judged(0.5, "partial"), judged(0.1, "poor")], Opinion(0.5, "inconsistent", 0.3468027)),
        ([judged(0.8), judged(0.8), judged(None)], Opinion(0.8, "good", 1.0)),
        ([judged(0.8), judged(None), judged(None)], Opinion(None, "unknown", None)),
        ([judged(0.8), judged(0.6), MALFORMED], Opinion(0.7, "good", 0.8)),
    ],
)
def test_combines(judgements: list[Judgement], expected: Opinion) -> None:
    found = combine(judgements)

    assert (found.score, found.confidence) == pytest.approx((expected.score, expected.confidence))
    assert found.verdict == expected.verdict


@given(st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=7))
def test_stays_between_the_opinions(scores: list[float | None]) -> None:
    found = combine([judged(score) for score in scores])

    known = [score for score in scores if score is not None]
    assert (found.score is None) == (2 * len(known) <= len(scores))
    if found.score is not None:
        assert min(known) - 1e-12 <= found.score <= max(known) + 1e-12
    assert (found.confidence is None) == (len(known) < 2)
    assert found.confidence is None or 0 <= found.confidence <= 1
