"""How the simulated judge reads an answer: word overlap with what the answer could be based on.

A stand-in for a model's judgement, no more: it sees whether statements are supported and whether the material
was used, and nothing of style or truth. Traffic of the past takes its scores from the same function that
judges live traffic, so that the two can be compared.
"""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[a-z0-9]+")
_SENTENCE: Final = re.compile(r"[^.!?\n]+[.!?]?")
_STOP: Final = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "do", "does", "for", "from", "has"),
        *("have", "how", "i", "in", "is", "it", "its", "my", "not", "of", "on", "or", "that", "the", "this"),
        *("to", "was", "what", "when", "which", "why", "will", "with", "you", "your"),
    )
)
# A sentence says the same as another when this share of its words is in it: paraphrases keep about that much.
_SAME: Final = 0.6


def words(text: str) -> set[str]:
    """The words of a text that carry its meaning."""
    return set(_WORD.findall(text.lower())) - _STOP


def sentences(text: str) -> list[set[str]]:
    """The words of each sentence of at least three such words."""
    return [found for part in _SENTENCE.findall(text) if len(found := words(part)) >= 3]


def assess(question: str, material: str, answer: str) -> float:
    """Score of an answer, 0 (useless) to 1.

    0.55 for using the material (share of its sentences that the answer states), 0.35 for being supported by
    it (share of the answer's sentences), 0.1 for answering at all. Where there is no material, the question
    takes its place: an answer that shares no word with it is off the point.

    Args:
        question: what was asked.
        material: retrieved documents; empty where there were none.
        answer: what the model said.
    """
    said = sentences(answer)
    if not said:
        return 0.0
    known = words(material) | words(question)
    supported = sum(len(s & known) >= _SAME * len(s) for s in said) / len(said)
    expected = sentences(material)
    if not expected:
        return round(0.1 + 0.55 * min(1.0, len(said) / 3) * supported + 0.35 * supported, 4)
    spoken = words(answer)
    used = sum(len(s & spoken) >= _SAME * len(s) for s in expected) / len(expected)
    return round(0.1 + 0.55 * used + 0.35 * supported, 4)


def verdict_of(score: float) -> str:
    """The word for a score, by the limits of the judge's rubric."""
    return "good" if score >= 0.8 else "partial" if score >= 0.4 else "poor"
