"""For each tenant the one finding that explains best what its series show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.judged import Judged, Key
from sensors.policy import Level, Policy, Rule, Scope
from sensors.readings import Frame, Readings

_NARROWNESS: Mapping[Scope, int] = {"template": 0, "model": 1, "tenant": 2}
# The narrowest scope that explains this share of a tenant's excess is what is wrong. Below, it is only part
# of it.
_EXPLAINS = 0.8


@dataclass(frozen=True)
class Finding:
    """The finding that is reported for a tenant and cohort."""

    tenant_id: str
    cohort: str
    scope: Scope
    model: str
    template: str
    level: Level
    rule: str
    window_minutes: int
    frame: Frame
    evaluator: str
    inherited: int
    figures: Mapping[str, float | None]
    # The other series of the tenant that fire, as "scope name".
    also: tuple[str, ...]

    @property
    def summary(self) -> str:
        """What happened, in one line."""
        name = self.template or self.model or "all traffic"
        parts = []
        ratio = self.figures["cost_ratio"]
        if ratio is None:
            parts.append("cost unknown")
        else:
            was, now = self.figures["cost_expected_usd"], self.figures["cost_p50_usd"]
            parts.append(f"cost × {ratio:.2f} (${was:.3g} → ${now:.3g} per call)")
        ratio = self.figures["quality_ratio"]
        if ratio is None:
            parts.append("quality unknown")
        else:
            was, now = self.figures["quality_expected"], self.figures["quality_p50"]
            parts.append(f"quality × {ratio:.2f} ({was:.2f} → {now:.2f})")
        return f"{name}: {', '.join(parts)} over {self.window_minutes} min"

    def evidence(self, readings: Readings) -> dict[str, Any]:
        """The figures behind it, for the record."""
        begin = readings.end - timedelta(minutes=self.frame.begin)
        return {
            "rule": self.rule,
            "window": {
                "start": begin.isoformat(),
                "end": readings.end.isoformat(),
                "minutes": self.window_minutes,
            },
            "baseline_as_of": readings.baseline_as_of.isoformat() if readings.baseline_as_of else None,
            "baseline_of": ("itself", "its template", "its template's family")[self.inherited],
            "evaluator": self.evaluator,
            **self.figures,
            "also_firing": list(self.also),
        }


def best(judged: list[Judged]) -> dict[Key, Finding]:
    """For each tenant and cohort in which a rule fires, the finding that explains it best.

    The loudest series gives level, rule and window. What is named is the narrowest scope (template, then
    model, then the tenant as a whole) that accounts for most of the excess, among all series that show the
    change: a wider one may be first to have shown it for long enough.
    """
    shown: dict[Key, list[_Member]] = {}
    for j in judged:
        for n in np.flatnonzero(j.verdicts.holding | (j.verdicts.level > 0)):
            shown.setdefault((j.series.tenant[n], j.series.cohort[n]), []).append(_Member(j, int(n)))
    best = {}
    for key, members in shown.items():
        loudest = max(members, key=lambda m: (m.level, -_NARROWNESS[m.judged.series.scope]))
        if loudest.level == Level.NONE:
            continue
        excess = [_excess(m, loudest) for m in members]
        most = max(excess)
        enough = [
            (_NARROWNESS[m.judged.series.scope], -e, n)
            for n, (m, e) in enumerate(zip(members, excess, strict=True))
            # Where there is no excess in this window, the least of the lack.
            if e >= min(_EXPLAINS * most, most)
        ]
        named = members[min(enough)[2]]
        also = tuple(m.name for m in members if m != named)
        best[key] = _finding(named, loudest, also)
    return best


@dataclass(frozen=True)
class _Member:
    """One series of one scope."""

    judged: Judged
    n: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Member) and self.judged is other.judged and self.n == other.n

    @property
    def level(self) -> Level:
        return Level(int(self.judged.verdicts.level[self.n]))

    @property
    def policy(self) -> Policy:
        return self.judged.policies[int(self.judged.variant[self.n])][0]

    @property
    def rule(self) -> tuple[str, Rule]:
        rules = self.judged.policies[int(self.judged.variant[self.n])][1]
        return list(rules.items())[int(self.judged.verdicts.rule[self.n])]

    @property
    def frame(self) -> Frame:
        """The shortest window, up to the one in which its rule fired, that holds enough: the change as it is
        now. In a long window a model that is new is all change, while its template is still mostly past.
        """
        fired = int(self.judged.verdicts.window[self.n])
        for window in self.policy.windows[:fired]:
            figures = self.judged.series.figures[Frame(window.minutes)]
            if figures.cost.count[self.n] >= window.min_requests and (
                not self.rule[1].needs_quality or figures.quality.count[self.n] >= window.min_evaluations
            ):
                return Frame(window.minutes)
        return Frame(self.policy.windows[fired].minutes)

    @property
    def name(self) -> str:
        series = self.judged.series
        return f"{series.scope} {series.template[self.n] or series.model[self.n]}".strip()


def _excess(member: _Member, loudest: _Member) -> float:
    """By how much the series is worse than expected, in dollars or score points, in the loudest one's
    window.
    """
    figures = member.judged.series.figures[loudest.frame]
    if loudest.rule[1].needs_cost:
        of, worse = figures.cost, 1.0
    else:
        of, worse = figures.quality, -1.0
    n = member.n
    return float(np.nan_to_num(worse * (of.now[n] - of.expected[n]) * of.count[n] * of.coverage[n]))


def _finding(named: _Member, loudest: _Member, also: tuple[str, ...]) -> Finding:
    j, n = named.judged, named.n
    frame = loudest.frame
    cost, quality = j.series.figures[frame].cost, j.series.figures[frame].quality

    def number(values: NDArray[np.float64]) -> float | None:
        value = float(values[n])
        return value if np.isfinite(value) else None

    return Finding(
        tenant_id=j.series.tenant[n],
        cohort=j.series.cohort[n],
        scope=j.series.scope,
        model=j.series.model[n],
        template=j.series.template[n],
        level=loudest.level,
        rule=loudest.rule[0],
        window_minutes=frame.begin,
        frame=frame,
        evaluator=j.series.evaluator[n],
        inherited=int(j.series.inherited[n]),
        figures={
            "cost_p50_usd": number(cost.now),
            "cost_expected_usd": number(cost.expected),
            "cost_ratio": number(cost.ratio),
            "cost_z": number(cost.z),
            "requests": int(cost.count[n]),
            "quality_p50": number(quality.now),
            "quality_expected": number(quality.expected),
            "quality_ratio": number(quality.ratio),
            "quality_z": number(quality.z),
            "evaluations": int(quality.count[n]),
            "baseline_requests": int(cost.past[n]),
            "baseline_evaluations": int(quality.past[n]),
        },
        also=also,
    )
