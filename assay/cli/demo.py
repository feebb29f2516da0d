"""What the demo loads: a generated past with its baselines, and an incident that is to come."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Final

import redis
from rich.progress import Progress

import sensors.policy
from assay.cli.loading import load_batches
from assay.collector.native import Parsed
from assay.contracts.records import Record
from assay.settings import Settings
from assay.simulator import history, incident
from assay.simulator.live import DEFAULT_RATE
from assay.simulator.traffic import SEED
from assay.simulator.world import SOURCE
from assay.warehouse.client import connect
from sensors import baselines

DAYS: Final = 30
# Long enough that the alert opens, is seen, and is resolved while somebody still looks.
INCIDENT_MINUTES: Final = 15
# Traffic doubles every three days and ends at eight times the generator's own volume: as much as loads in
# half a minute, and no cliff where the live traffic begins.
_DOUBLES_IN_DAYS: Final = 3
_GROWN: Final = 8.0
# The last hour is as busy as the live traffic that follows; the generator's own volume is 0.084 calls a
# second.
_BUSY: Final = timedelta(hours=1)
_BUSY_VOLUME: Final = DEFAULT_RATE / 0.084
_BUSY_SEED: Final = SEED + 1
_BATCH: Final = 4000


@dataclass(frozen=True)
class Loaded:
    """What a past consists of: accepted records by kind, and baselines."""

    counts: dict[str, int]
    baselines: int


def load_past(settings: Settings, progress: Progress, *, days: int = DAYS, volume: float = 1.0) -> Loaded:
    """Generate the days up to now, load them through the queue, and compute their baselines.

    Repeatable: what is stored already counts as duplicates, and where a past was loaded before, only
    the time since then is generated.

    Raises:
        LoadError: it did not finish.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    mark = _Mark(settings)
    start = max(now - timedelta(days=days), mark.until or now - timedelta(days=days))
    progress_of = _Bars(progress)

    def load(kind: str, name: str, records: Iterator[Record]) -> int:
        counts = load_batches(settings, kind, SOURCE, _batches(records), note=progress_of(name))
        return counts["accepted"]

    past = _past(start, now, mark.first_day or now.date(), volume)
    spans = chain.from_iterable(history.spans(day, start, now) for day in past)
    counts = {
        "tenants": load("tenant", "tenants", iter(history.tenants())),
        # Few, and the same however often: a past that was loaded before people were timed gets them, too.
        "task_times": load("task_time", "task times", history.task_times(now - timedelta(days=days), now)),
        "deployments": load("deployment", "deployments", history.deployments(start, now)),
        "spans": load("span", "calls", spans),
    }
    for name, kind, make in (
        ("evaluations", "evaluation", history.evaluations),
        ("feedback", "feedback", history.feedback),
        ("outcomes", "outcome", history.outcomes),
        ("labels", "label", history.labels),
    ):
        # Nobody has answered yet to what happened just now.
        records = (record for day in past for record in make(day) if record.timestamp < now)
        counts[name] = load(kind, name, records)
    with connect(settings) as client:
        policy = sensors.policy.load(settings.policy_file)
        stored = baselines.refresh(client, (now - timedelta(days=days - 1)).date(), now.date(), policy)
    mark.set(now)
    return Loaded(counts, sum(stored.values()))


def _past(start: datetime, now: datetime, grown_by: date, volume: float) -> list[history.Day]:
    """The days from ``start`` to ``now``, growing until ``grown_by``, and the busy last hour on top."""
    days = [start.date() + timedelta(days=n) for n in range((now.date() - start.date()).days + 1)]
    past = [history.day(of, after=start, before=now, volume=volume * growth(of, grown_by)) for of in days]
    busy_from = max(start, now - _BUSY)
    busy = [
        history.day(of, after=busy_from, before=now, seed=_BUSY_SEED, volume=volume * _BUSY_VOLUME)
        for of in sorted({busy_from.date(), now.date()})
    ]
    return [*past, *busy]


def growth(of: date, grown_by: date) -> float:
    """Volume of a day beside the generator's own: doubling until ``grown_by``, then level."""
    age = max(0, (grown_by - of).days)
    return max(1.0, _GROWN * float(2 ** (-age / _DOUBLES_IN_DAYS)))


def schedule_incident(
    settings: Settings, *, in_seconds: float = 25, minutes: float = INCIDENT_MINUTES
) -> incident.Incident:
    """Let the running simulator show an incident; returns when it starts and ends."""
    start = datetime.now(UTC) + timedelta(seconds=in_seconds)
    planned = incident.Incident(start, start + timedelta(minutes=minutes))
    with redis.Redis.from_url(settings.redis) as client:
        incident.schedule(client, planned)
    return planned


class _Mark:
    """Until when the past of a store was loaded completely."""

    def __init__(self, settings: Settings) -> None:
        self._path: Path = settings.data_dir / "demo" / "loaded.json"
        self._store = f"{settings.clickhouse}/{settings.clickhouse_database}"

    @property
    def until(self) -> datetime | None:
        """None where this store's never was."""
        found = self._read()
        return None if found is None else datetime.fromisoformat(found["until"])

    @property
    def first_day(self) -> date | None:
        """The day of the first load: a day has to be generated as it was then to count as a duplicate."""
        found = self._read()
        return None if found is None else date.fromisoformat(found["first_day"])

    def set(self, until: datetime) -> None:
        """Everything before ``until`` is stored."""
        first_day = (self.first_day or until.date()).isoformat()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".tmp")
        state = {"store": self._store, "until": until.isoformat(), "first_day": first_day}
        scratch.write_text(json.dumps(state), encoding="utf-8")
        scratch.replace(self._path)

    def _read(self) -> dict[str, str] | None:
        if not self._path.exists():
            return None
        found: dict[str, str] = json.loads(self._path.read_text(encoding="utf-8"))
        return found if found["store"] == self._store else None


class _Bars:
    """One progress bar per kind of record."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, name: str) -> Callable[[int, int], None]:
        bar = self._progress.add_task(f"simulated {name}", total=None)
        return lambda stored, published: self._progress.update(bar, completed=stored, total=published)


def _batches(records: Iterator[Record]) -> Iterator[Parsed]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield Parsed(batch, [])
            batch = []
    if batch:
        yield Parsed(batch, [])
