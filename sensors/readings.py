"""What one tick reads: every series' window medians beside the baseline they are compared with, in one query.

Cost comes from the minute rollups, by the time of the call. Quality comes from the evaluations themselves, by
the time at which they were **made**: a judge that is five minutes behind would otherwise leave the newest
minutes of every window without scores. Their past is the hourly quality rollup, by the time of the call; over
hours the difference vanishes.

Both are reduced in two steps: histograms by cell (tenant, cohort, model, template) and bucket of time, then
windows as unions of buckets. So overlapping windows cost no second pass over the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from clickhouse_connect.driver.client import Client
from numpy.typing import NDArray

from sensors.baselines import template_family
from sensors.policy import Policy, Scope

Level = str
# The level at which a scope's traffic is compared: like with like, template by template.
STRATA: dict[Scope, Level] = {"template": "template", "model": "series", "tenant": "template"}

_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Frame:
    """Whole minutes before the end of the reading: from ``begin`` minutes ago to ``end`` minutes ago."""

    begin: int
    end: int = 0


@dataclass(frozen=True)
class Frames:
    """The stretches of time that a policy's windows need."""

    now: tuple[Frame, ...]
    earlier: tuple[Frame, ...]
    # The end of each window, in which the change must still be there: the next shorter window.
    recent: tuple[Frame | None, ...]
    # The stretch in which an alert must have been quiet to be resolved.
    quiet: Frame

    @classmethod
    def of(cls, policy: Policy) -> Frames:
        windows = policy.windows
        return cls(
            now=tuple(Frame(w.minutes) for w in windows),
            earlier=tuple(Frame(w.minutes + w.persistence_minutes, w.persistence_minutes) for w in windows),
            recent=(None, *(Frame(w.minutes) for w in windows[:-1])),
            quiet=Frame(policy.timing.quiet_minutes),
        )

    @property
    def all(self) -> list[Frame]:
        """Each once, in a fixed order: what a frame number of a reading refers to."""
        found = dict.fromkeys([*self.now, *self.earlier, *(f for f in self.recent if f), self.quiet])
        return list(found)


@dataclass(frozen=True)
class Names:
    """A column of few distinct names: their numbers by row, and the names."""

    codes: NDArray[np.int64]
    values: NDArray[np.object_]

    @classmethod
    def of(cls, column: Sequence[str]) -> Names:
        codes, values = pd.factorize(np.asarray(column, dtype=object))
        return cls(codes.astype(np.int64), np.asarray(values, dtype=object))

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.object_]:
        """The names of these rows."""
        return np.asarray(self.values[self.codes[rows]], dtype=object)

    def number(self, name: str) -> int:
        """The number of a name; −1 where no row has it."""
        found = np.flatnonzero(self.values == name)
        return int(found[0]) if found.size else -1


@dataclass(frozen=True)
class Readings:
    """One row per measure, level, series, evaluator and frame with data, as columns of equal length.

    ``median``, ``baseline``, ``std`` and ``spread`` are USD per call or scores; NaN where there is no past.
    """

    end: datetime
    baseline_as_of: date | None
    frames: Frames
    quality: NDArray[np.bool_]
    level: Names
    tenant: Names
    cohort: Names
    model: Names
    template: Names
    evaluator: Names
    frame: NDArray[np.int64]
    count: NDArray[np.float64]
    median: NDArray[np.float64]
    baseline: NDArray[np.float64]
    # The middle that z is measured from; differs from `baseline` where the policy says `week_before`.
    reference: NDArray[np.float64]
    std: NDArray[np.float64]
    spread: NDArray[np.float64]
    baseline_count: NDArray[np.float64]
    baseline_hours: NDArray[np.float64]
    # How far up the past was borrowed from: 0 its own, 1 the template's, 2 the template family's.
    inherited: NDArray[np.int64]


def levels(policy: Policy) -> list[Level]:
    """The levels whose medians the policy's scopes are made of."""
    wanted = [STRATA[scope] if policy.like_for_like else scope for scope in policy.scopes]
    # Whether an alert may end is judged by the tenant as a whole, whichever scopes open alerts.
    wanted.append(STRATA["tenant"] if policy.like_for_like else "tenant")
    return list(dict.fromkeys(wanted))


def window_end(now: datetime, policy: Policy) -> datetime:
    """End of the newest minute that is looked at: the one in which the settled data ends."""
    settled = now.astimezone(UTC) - timedelta(seconds=policy.timing.settle_seconds)
    minute = settled.replace(second=0, microsecond=0)
    return minute if minute == settled else minute + timedelta(minutes=1)


def read(client: Client, policy: Policy, now: datetime) -> Readings:
    """The state of every series at ``now``, in one query."""
    frames = Frames.of(policy)
    end = window_end(now, policy)
    parameters = {
        "end": int(end.timestamp()),
        "today": end.date() if end.time() else (end - timedelta(days=1)).date(),
        "max_age": policy.baseline.max_age_days,
        "delay": policy.timing.max_judging_delay_minutes,
        "min_hours": policy.gates.min_baseline_hours,
        "min_requests": policy.gates.min_baseline_requests,
        "min_evaluations": policy.gates.min_baseline_evaluations,
    }
    answer = client.query(_query(policy, frames), parameters=parameters, column_oriented=True)
    return _readings(dict(zip(answer.column_names, answer.result_columns, strict=True)), end, frames)


def _readings(columns: Mapping[str, Sequence[Any]], end: datetime, frames: Frames) -> Readings:
    def number(name: str) -> NDArray[np.float64]:
        # NULL becomes NaN.
        return np.array(columns.get(name, ()), dtype=np.float64)

    as_of = columns.get("as_of", (0,))[0]
    return Readings(
        end=end,
        baseline_as_of=date(1970, 1, 1) + timedelta(days=as_of) if as_of else None,
        frames=frames,
        quality=number("quality") > 0,
        level=Names.of(columns.get("level", ())),
        tenant=Names.of(columns.get("tenant", ())),
        cohort=Names.of(columns.get("cohort", ())),
        model=Names.of(columns.get("model", ())),
        template=Names.of(columns.get("template", ())),
        evaluator=Names.of(columns.get("evaluator", ())),
        frame=number("frame").astype(np.int64),
        count=number("count"),
        median=number("median"),
        baseline=number("baseline"),
        reference=number("reference"),
        std=number("std"),
        spread=number("spread"),
        baseline_count=number("baseline_count"),
        baseline_hours=number("baseline_hours"),
        inherited=number("inherited").astype(np.int64),
    )


def _query(policy: Policy, frames: Frames) -> str:
    wanted = levels(policy)
    arguments = (frames, wanted)
    parts = [f"SELECT * FROM ({_windows('cost', *arguments, timedelta())})"]
    parts.append(f"SELECT * FROM ({_windows('quality', *arguments, timedelta())})")
    before = ""
    if policy.z_reference == "week_before":
        before = (
            f", before AS ({_windows('cost', *arguments, _WEEK)} "
            f"UNION ALL {_windows('quality', *arguments, _WEEK)})"
        )
    reference = "b.median" if before else "baseline"
    joined = (
        "LEFT JOIN before AS b ON b.quality = w.quality AND b.level = w.level AND b.tenant = w.tenant "
        "AND b.cohort = w.cohort AND b.model = w.model AND b.template = w.template "
        "AND b.evaluator = w.evaluator AND b.frame = w.frame"
        if before
        else ""
    )

    def past(name: str) -> str:
        return (
            f"if(own.warm, own.{name}, if(parent.warm, parent.{name}, if(kin.warm, kin.{name}, own.{name})))"
        )

    def baseline(alias: str, scope: str, model: str, template: str) -> str:
        return f"""
    LEFT JOIN past AS {alias} ON {alias}.measure = w.measure AND {alias}.scope = {scope}
        AND {alias}.tenant = w.tenant AND {alias}.model = {model} AND {alias}.template = {template}
        AND {alias}.evaluator = w.evaluator"""

    return f"""
WITH
newest AS (
    SELECT max((as_of, computed_at)) AS newest FROM kpi_baselines
    WHERE as_of <= {{today:Date}} AND as_of + {{max_age:UInt32}} >= {{today:Date}}
),
past AS (
    SELECT
        toString(measure) AS measure, toString(scope) AS scope, toString(tenant_id) AS tenant,
        toString(model) AS model, toString(prompt_template_version) AS template,
        if(evaluator = '', '', concat(evaluator, '@', evaluator_version)) AS evaluator,
        median, std, spread, sample_count, hours,
        hours >= {{min_hours:UInt32}} AND sample_count
            >= if(measure = 'cost', {{min_requests:UInt64}}, {{min_evaluations:UInt64}}) AS warm
    FROM kpi_baselines WHERE (as_of, computed_at) = (SELECT newest FROM newest)
),
windows AS ({" UNION ALL ".join(parts)}){before}
SELECT
    toUInt8(w.quality) AS quality, w.level AS level, w.tenant AS tenant, w.cohort AS cohort, w.model AS model,
    w.template AS template, w.evaluator AS evaluator, w.frame AS frame, w.count AS count, w.median AS median,
    {past("median")} AS baseline, {reference} AS reference, {past("std")} AS std, {past("spread")} AS spread,
    {past("sample_count")} AS baseline_count, {past("hours")} AS baseline_hours,
    if(own.warm, 0, if(parent.warm, 1, if(kin.warm, 2, 0))) AS inherited,
    toUInt32((SELECT newest FROM newest).1) AS as_of
FROM (
    SELECT *, if(quality, 'quality', 'cost') AS measure, {template_family("template")} AS family FROM windows
) AS w
{baseline("own", "w.level", "w.model", "w.template")}
{baseline("parent", "if(w.level = 'series', 'template', '')", "''", "w.template")}
{baseline("kin", "if(w.level IN ('series', 'template'), 'family', '')", "''", "w.family")}
{joined}
SETTINGS join_use_nulls = 1
"""


def _windows(measure: str, frames: Frames, wanted: list[Level], ago: timedelta) -> str:
    """Median and size of every series of the wanted levels in every frame, ``ago`` before the end."""
    every = frames.all
    edges = sorted({minutes for frame in every for minutes in (frame.begin, frame.end)} - {0})
    # Bucket i (1-based) lies between edge i-1 and edge i; which frames each is part of.
    members = [
        [n for n, frame in enumerate(every) if frame.end <= low and high <= frame.begin]
        for low, high in zip([0, *edges[:-1]], edges, strict=True)
    ]
    end = f"toDateTime({{end:UInt32}}, 'UTC') - toIntervalSecond({int(ago.total_seconds())})"
    oldest = f"{end} - toIntervalMinute({edges[-1]})"
    if measure == "cost":
        source, evaluator, quantile = "llm_kpi_1min", "''", "assay_quantile"
        size, histogram = "sum(priced_count)", "cost_histogram"
        age = f"intDiv(dateDiff('second', period_start, {end}), 60)"
        where = f"period_start >= {oldest} AND period_start < {end}"
    else:
        source, evaluator = "llm_evaluations", "concat(evaluator, '@', evaluator_version)"
        size, quantile = "sum(toInt64(sign))", "assay_score_quantile"
        weight = "toInt64(sign * round(1000 / sampling_rate))"
        histogram = f"map(assay_score_bucket(assumeNotNull(score)), {weight})"
        # A score of a thousandth of a second ago is in the newest minute, whose age is 1.
        age = f"intDiv(dateDiff('microsecond', timestamp, {end}) - 1, 60000000) + 1"
        where = (
            f"timestamp >= {oldest} AND timestamp < {end} AND isNotNull(score) "
            f"AND span_timestamp >= timestamp - toIntervalMinute({{delay:UInt32}})"
        )
    # The median of added histograms, as assay_quantile(sumMap(histogram), 0.5) gives it, in half of the time.
    # Counts that a correction made negative wrap around, and add up right.
    state, weights = "quantileExactWeightedArray", f"arrayMap(x -> toUInt64(x), mapValues({histogram}))"
    return f"""
    SELECT
        {int(measure == "quality")} AS quality, level, toString(tenant) AS tenant,
        toString(cohort) AS cohort,
        if(level IN ('model', 'series'), toString(cell_model), '') AS model,
        if(level IN ('template', 'series'), toString(cell_template), '') AS template,
        evaluator, frame,
        sum(n) AS count, {quantile}(map({state}Merge(0.5)(counts), 1), 0.5) AS median
    FROM (
        SELECT
            tenant, cohort, cell_model, cell_template, evaluator, frame,
            sum(n) AS n, {state}MergeState(0.5)(counts) AS counts
        FROM (
            SELECT
                tenant_id AS tenant, cohort, model AS cell_model, prompt_template_version AS cell_template,
                {evaluator} AS evaluator, arrayFirstIndex(edge -> {age} <= edge, {edges}) AS bucket,
                {size} AS n, {state}State(0.5)(mapKeys({histogram}), {weights}) AS counts
            FROM {source}
            WHERE {where}
            GROUP BY tenant, cohort, cell_model, cell_template, evaluator, bucket
        )
        ARRAY JOIN {members}[bucket] AS frame
        GROUP BY tenant, cohort, cell_model, cell_template, evaluator, frame
    )
    ARRAY JOIN {wanted} AS level
    GROUP BY level, tenant, cohort, model, template, evaluator, frame
    HAVING count > 0"""
