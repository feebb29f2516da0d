"""``assay load``: records of a file, or made here, through the queue into the store and counted."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import redis
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.progress import Progress, TaskID
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_exponential

from assay.cli import files
from assay.cli.console import stderr
from assay.collector import capture
from assay.collector.envelope import Envelope, Reject
from assay.collector.native import Parsed
from assay.collector.policies import INTERVAL_S
from assay.collector.queue import QueueUnavailableError, load_counts_key, publish
from assay.collector.redact import redactor_of
from assay.contracts.records import Record
from assay.settings import Settings, SettingsError
from assay.simulator import public_traces
from assay.warehouse.client import connect

KINDS: Final = {
    "spans": "span",
    "evaluations": "evaluation",
    "feedback": "feedback",
    "outcomes": "outcome",
    "labels": "label",
    "task-times": "task_time",
    "examples": "canonical_example",
    "invoices": "invoice",
    "contracts": "contract",
    "exchange-rates": "exchange_rate",
    "deployments": "deployment",
    "incidents": "incident",
    "tenants": "tenant",
}
PUBLIC_FORMATS: Final = public_traces.FORMATS

WRITER_STATUS: Final = "assay:writer:status"
# The writer notes that it lives at least every 5 s; the store may keep it from that for a while.
_WRITER_GONE_S: Final = 30
# So much may wait in the queue: enough that the writer never starves, little beside the queue's memory.
_MAX_WAITING: Final = 60_000
_POLL_S: Final = 0.05
# A block is stored in seconds; the writer lives but cannot store when nothing arrives for this long.
_STUCK_S: Final = 120
_SHOWN: Final = 5


class LoadError(RuntimeError):
    """The load did not finish; the message says what is stored and what to do."""


class Load:
    """One load: publishes batches, waits for the writer, counts.

    Args:
        settings: where queue and store are.
        kind: a name of ``assay.contracts.records.RECORDS``.
        source: as it will stand in the column of that name.
        note: called with (records stored so far, records published so far).
        waiting: so many of its records may wait in the queue.

    Raises:
        LoadError: no writer runs, or nobody can say whose text may be kept, or what to redact.
    """

    def __init__(
        self,
        settings: Settings,
        kind: str,
        source: str,
        *,
        note: Callable[[int, int], None] = lambda *_: None,
        waiting: int = _MAX_WAITING,
    ) -> None:
        self._settings = settings
        self._redis = redis.Redis.from_url(settings.redis)
        self._kind = kind
        self._source = source
        self._note = note
        self._load_id = uuid.uuid4().hex
        self._waiting = waiting
        self.published = 0
        self.expect_writer()
        self._policies: capture.Policies | None = None
        self._policies_at = time.monotonic()
        try:
            self._redactor = redactor_of(settings)
            self.policies()
        except (ClickHouseError, SettingsError) as error:
            raise LoadError(f"{error}. Nothing was queued.") from error

    def policies(self) -> capture.Policies:
        """Whose text may be kept, as the collector knows it: a long load hears of what changes meanwhile.

        Raises:
            ClickHouseError: they were never read; later, the last known ones stay in force.
        """
        known, now = self._policies, time.monotonic()
        if known is None or now - self._policies_at >= INTERVAL_S:
            try:
                known = self._read_policies()
            except ClickHouseError:
                if known is None:
                    raise
            self._policies, self._policies_at = known, now
        return known

    def _read_policies(self) -> capture.Policies:
        if self._kind != "span":
            return capture.Policies()
        with connect(self._settings) as client:
            return capture.read_policies(client, sample_rate=self._settings.capture_sample_rate)

    def add(self, records: Sequence[Record], rejects: Sequence[Reject] = ()) -> None:
        """Queue one batch; waits while too much is waiting already.

        Raises:
            LoadError: the queue does not take it, or the writer stopped.
        """
        capture.apply(records, self.policies(), self._redactor)
        envelope = Envelope.of(self._kind, self._source, records, rejects=rejects, load_id=self._load_id)
        try:
            self._publish(envelope)
        except QueueUnavailableError as error:
            raise LoadError(f"{error}. {self._again()}") from error
        self.published += len(records) + len(rejects)
        self._wait(self._waiting)

    def finish(self) -> dict[str, int]:
        """Wait until everything is queryable; return the counts.

        Raises:
            LoadError: the writer stopped.
        """
        self._wait(0)
        return self.counts()

    def close(self) -> None:
        """Give up the connection."""
        self._redis.close()

    def _wait(self, allowed: int) -> None:
        last, since = -1, time.monotonic()
        while True:
            stored = sum(self.counts().values())
            self._note(stored, self.published)
            if self.published - stored <= allowed:
                return
            self.expect_writer()
            if stored != last:
                last, since = stored, time.monotonic()
            elif time.monotonic() - since > _STUCK_S:
                raise LoadError(
                    f"the writer has stored nothing for {_STUCK_S} s; its log says why. {self._again()}"
                )
            time.sleep(_POLL_S)

    # A full queue empties as fast as the writer stores: a minute is many times what that takes.
    @retry(
        retry=retry_if_exception_type(QueueUnavailableError),
        wait=wait_exponential(0.1, max=5),
        stop=stop_after_delay(60),
        reraise=True,
    )
    def _publish(self, envelope: Envelope) -> None:
        publish(self._redis, envelope)

    def counts(self) -> dict[str, int]:
        """``accepted``, ``duplicates`` and ``rejected`` of what is stored by now.

        Raises:
            LoadError: the queue cannot be asked.
        """
        try:
            found = self._redis.hgetall(load_counts_key(self._load_id))
        except redis.RedisError as error:
            raise LoadError(f"the queue cannot be asked: {error}. {self._again()}") from error
        return {name: int(found.get(name.encode(), 0)) for name in ("accepted", "duplicates", "rejected")}

    def expect_writer(self) -> None:
        """See that somebody will store what is queued.

        Raises:
            LoadError: no writer runs, or the queue cannot be reached.
        """
        try:
            at = self._redis.hget(WRITER_STATUS, "at")
            seconds, _ = self._redis.time()
        except redis.RedisError as error:
            raise LoadError(
                f"the queue cannot be reached: {error}. Start Assay first (assay up), "
                "or point ASSAY_REDIS_URL at it"
            ) from error
        if at is None or seconds - float(at) > _WRITER_GONE_S:
            last = (
                "no writer is running"
                if at is None
                else f"the writer stopped {seconds - float(at):.0f} s ago"
            )
            raise LoadError(f"{last}, so nothing would be stored: start it with `assay up`. {self._again()}")

    def _again(self) -> str:
        if not self.published:
            return "Nothing was queued."
        return (
            f"{self.published} records are queued and will be stored; loading the same again is safe, "
            "what is stored already counts as duplicates."
        )


def load_batches(
    settings: Settings,
    kind: str,
    source: str,
    batches: Iterable[Parsed],
    *,
    note: Callable[[int, int], None] = lambda *_: None,
    on_rejects: Callable[[list[Reject]], None] = lambda _: None,
) -> dict[str, int]:
    """Load batches of records; returns ``accepted``, ``duplicates`` and ``rejected`` once they are queryable.

    Raises:
        LoadError: it did not finish.
    """
    load = Load(settings, kind, source, note=note)
    try:
        for batch in batches:
            if batch.records or batch.rejects:
                load.add(batch.records, batch.rejects)
                on_rejects(batch.rejects)
        return load.finish()
    finally:
        load.close()


def load_file(
    settings: Settings, kind: str, path: Path, file_format: str, progress: Progress
) -> dict[str, int]:
    """Load a file; returns ``accepted``, ``duplicates`` and ``rejected`` once they are queryable.

    Raises:
        FileError: the file cannot be read as a whole.
        LoadError: it did not finish.
    """
    bar = progress.add_task(f"{path.name}: stored", total=None)
    with files.opened(path) as file:
        if file_format in PUBLIC_FORMATS:
            batches, source = public_traces.read(file_format, file.stream), file_format
        else:
            batches, source = files.batches(kind, file), "native"
        return load_batches(
            settings,
            kind,
            source,
            batches,
            note=lambda stored, published: _show(progress, bar, file, stored, published),
            on_rejects=_Told(path),
        )


def _show(progress: Progress, bar: TaskID, file: files.Opened, stored: int, published: int) -> None:
    # How many rows a file has is known at its end; until then it follows from how much of it was read.
    share = file.share()
    progress.update(bar, completed=stored, total=max(published, int(published / share)) if share else None)


class _Told:
    """Names the first refused rows on standard error; all of them are in ``ingest_rejects``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shown = 0

    def __call__(self, rejects: list[Reject]) -> None:
        for reject in rejects:
            self._shown += 1
            if self._shown <= _SHOWN:
                stderr.print(f"{self._path.name}: row {reject.index}: {reject.reason}", markup=False)
            elif self._shown == _SHOWN + 1:
                stderr.print("more rows were refused: assay sql 'SELECT * FROM ingest_rejects'", markup=False)
