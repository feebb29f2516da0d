"""Several opinions of the same exchange, and what they say about confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Final

from evaluators.judge import Judgement

# Two opinions cannot outvote one another; each further one costs as much as the first.
REPEATS: Final = 3
# Opinions between 0 and 1 deviate from their mean by 0.5 at most: half say 0, half say 1.
_LARGEST_DEVIATION: Final = 0.5


@dataclass(frozen=True)
class Opinion:
    """What is stored of one or more judgements of an exchange.

    Attributes:
        score: mean of the scores; None where most judgements could not tell.
        verdict: the most frequent one; ``inconsistent`` where no verdict has the majority.
        confidence: 1 − standard deviation / 0.5 of the scores; None where there were not at least two.
    """

    score: float | None
    verdict: str
    confidence: float | None


def combine(judgements: Sequence[Judgement]) -> Opinion:
    """One opinion of at least one judgement.

    A judgement that could not be read counts as one that cannot tell.
    """
    scores = [j.answer.score for j in judgements if j.answer is not None and j.answer.score is not None]
    verdicts = Counter(j.answer.verdict if j.answer is not None else j.fault for j in judgements)
    verdict, votes = verdicts.most_common(1)[0]
    if 2 * votes <= len(judgements):
        verdict = "inconsistent"
    deviation = pstdev(scores) if len(scores) > 1 else None
    return Opinion(
        score=fmean(scores) if 2 * len(scores) > len(judgements) else None,
        verdict=verdict,
        confidence=None if deviation is None else max(0.0, 1.0 - deviation / _LARGEST_DEVIATION),
    )
