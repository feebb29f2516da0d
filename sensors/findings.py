"""What a tick found: the verdicts of every scope, and for each tenant the one finding that explains it
best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.policy import Level, Policy, Rule, Scope
from sensors.readings import Frame, Readings
from sensors.rules import Figures, Measure, State, Verdicts, decide
from sensors.scopes import Series, series_of

Key = tuple[str, str]

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


@dataclass(frozen=True)
class Judgement:
    """What all series of all scopes came to."""

    series: int
    cost_states: Mapping[str, int]
    quality_states: Mapping[str, int]
    findings: Mapping[Key, Finding]
    # Tenants and cohorts in which some series still shows half of a rule's distance.
    holding: frozenset[Key]
    # Tenants and cohorts with any traffic in the longest window.
    present: frozenset[Key]
    # Those whose traffic of late can be judged, and is as it should be unless they are holding.
    quiet_by_cost: frozenset[Key]
    quiet_by_both: frozenset[Key]
    rules: Mapping[str, Rule]

    def quiet(self, rule: str) -> frozenset[Key]:
        """Tenants and cohorts with data enough to say that what this rule looks at is over."""
        known = self.rules.get(rule)
        return self.quiet_by_both if known is None or known.needs_quality else self.quiet_by_cost


@dataclass(frozen=True)
class _Judged:
    """One scope's series, their verdicts, and the rules and windows by which they were judged."""

    series: Series
    verdicts: Verdicts
    # Number of each series' policy.
    variant: NDArray[np.int64]
    policies: list[tuple[Policy, Mapping[str, Rule]]]


def judge(readings: Readings, policy: Policy, blocked: Mapping[Key, datetime]) -> Judgement:
    """Judge every series of every scope. Pure.

    Args:
        readings: what the tick read.
        policy: by whose rules.
        blocked: times before which no window of a tenant and cohort may reach.
    """
    judged = [_judged(readings, policy, scope, blocked) for scope in policy.scopes]
    whole = next((j.series for j in judged if j.series.scope == "tenant"), None)
    whole = whole if whole is not None else series_of(readings, policy, "tenant")
    holding = {
        (j.series.tenant[n], j.series.cohort[n]) for j in judged for n in np.flatnonzero(j.verdicts.holding)
    }
    fewest = min(policy.windows, key=lambda w: w.min_requests)
    quiet = whole.figures[readings.frames.quiet]
    cost = quiet.cost.state(fewest.min_requests, policy.gates.min_baseline_requests, policy.gates)
    quality = quiet.quality.state(
        min(w.min_evaluations for w in policy.windows), policy.gates.min_baseline_evaluations, policy.gates
    )
    by_cost = {(whole.tenant[n], whole.cohort[n]) for n in np.flatnonzero(cost == State.KNOWN)}
    by_both = by_cost & {(whole.tenant[n], whole.cohort[n]) for n in np.flatnonzero(quality == State.KNOWN)}
    rules = {
        name: rule
        for each in (policy, *policy.by_tenant.values())
        for name, rule in {**(each.experiment.rules or {}), **each.rules}.items()
    }
    return Judgement(
        series=sum(j.series.tenant.size for j in judged),
        cost_states=_counted(j.verdicts.cost_state for j in judged),
        quality_states=_counted(j.verdicts.quality_state for j in judged),
        findings=_best(judged),
        holding=frozenset(holding),
        present=frozenset(zip(whole.tenant, whole.cohort, strict=True)),
        quiet_by_cost=frozenset(by_cost),
        quiet_by_both=frozenset(by_both),
        rules=rules,
    )


def _judged(readings: Readings, policy: Policy, scope: Scope, blocked: Mapping[Key, datetime]) -> _Judged:
    series = series_of(readings, policy, scope)
    size = series.tenant.size
    variants, policies = _variants(series, policy)
    verdicts = Verdicts(
        level=np.zeros(size, np.int64),
        rule=np.full(size, -1, np.int64),
        window=np.full(size, -1, np.int64),
        holding=np.zeros(size, np.bool_),
        cost_state=np.zeros(size, np.int64),
        quality_state=np.zeros(size, np.int64),
    )
    # How many minutes before the end a window of the series may reach.
    reach = np.full(size, np.inf)
    for key, since in blocked.items():
        mine = (series.tenant == key[0]) & (series.cohort == key[1])
        reach[mine] = (readings.end - since).total_seconds() / 60
    frames = readings.frames
    for number, (own, rules) in enumerate(policies):
        rows = np.flatnonzero(variants == number)
        if not rows.size or not rules:
            continue
        experiment = series.cohort[rows[0]] == "experiment"
        part = decide(
            [_of(series, frame, rows) for frame in frames.now],
            [_of(series, frame, rows) for frame in frames.earlier],
            [None if frame is None else _of(series, frame, rows) for frame in frames.recent],
            own.windows,
            rules,
            own.gates,
            own.experiment.max_level if experiment else Level.PAGE,
            [reach[rows] >= frame.begin for frame in frames.earlier],
        )
        for name, values in vars(part).items():
            getattr(verdicts, name)[rows] = values
    return _Judged(series, verdicts, variants, policies)


def _variants(
    series: Series, policy: Policy
) -> tuple[NDArray[np.int64], list[tuple[Policy, Mapping[str, Rule]]]]:
    """Which policy each series is judged by: production and experiments, of the common policy and of each
    tenant that has its own.
    """
    common = [policy, *policy.by_tenant.values()]
    numbers = {tenant: n for n, tenant in enumerate(policy.by_tenant, start=1)}
    variant = np.zeros(series.tenant.size, np.int64)
    for tenant, number in numbers.items():
        variant[series.tenant == tenant] = number
    variant += np.where(series.cohort == "experiment", len(common), 0)
    experiments = [
        (each, (each.rules if each.experiment.rules is None else each.experiment.rules))
        if each.experiment.enabled
        else (each, {})
        for each in common
    ]
    return variant, [*((each, each.rules) for each in common), *experiments]


def _of(series: Series, frame: Frame, rows: NDArray[np.int64]) -> Figures:
    figures = series.figures[frame]

    def part(measure: Measure) -> Measure:
        return Measure(**{name: values[rows] for name, values in vars(measure).items()})

    return Figures(part(figures.cost), part(figures.quality))


def _counted(states: Iterator[NDArray[np.int64]] | Any) -> dict[str, int]:
    total: Counter[int] = Counter()
    for values in states:
        total.update(dict(zip(*np.unique(values, return_counts=True), strict=True)))
    return {state.name.lower(): int(total[state]) for state in State}


def _best(judged: list[_Judged]) -> dict[Key, Finding]:
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

    judged: _Judged
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
