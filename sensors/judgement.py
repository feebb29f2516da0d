"""What a tick found in all scopes: findings, what holds alerts open, and what is quiet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from sensors.findings import Finding, best
from sensors.judged import Key, judged_of
from sensors.policy import Policy, Rule
from sensors.readings import Readings
from sensors.rules import State
from sensors.scopes import series_of


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


def judge(readings: Readings, policy: Policy, blocked: Mapping[Key, datetime]) -> Judgement:
    """Judge every series of every scope. Pure.

    Args:
        readings: what the tick read.
        policy: by whose rules.
        blocked: times before which no window of a tenant and cohort may reach.
    """
    judged = [judged_of(readings, policy, scope, blocked) for scope in policy.scopes]
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
        findings=best(judged),
        holding=frozenset(holding),
        present=frozenset(zip(whole.tenant, whole.cohort, strict=True)),
        quiet_by_cost=frozenset(by_cost),
        quiet_by_both=frozenset(by_both),
        rules=rules,
    )


def _counted(states: Iterable[NDArray[np.int64]]) -> dict[str, int]:
    total: Counter[int] = Counter()
    for values in states:
        total.update(dict(zip(*np.unique(values, return_counts=True), strict=True)))
    return {state.name.lower(): int(total[state]) for state in State}
