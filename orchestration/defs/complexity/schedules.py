"""Captured text is embedded hourly, where there is any: most installations capture none."""

from datetime import timedelta

import dagster as dg

from assay.embedding import estimates
from assay.embedding.embedder import choose, identity
from assay.embedding.texts import waiting
from orchestration.defs.complexity.jobs import complexity_job
from orchestration.resources import Store


@dg.schedule(
    name="hourly_complexity_schedule",
    job=complexity_job,
    cron_schedule="25 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def hourly_complexity_schedule(
    context: dg.ScheduleEvaluationContext,  # noqa: ARG001 - Dagster passes it by its place
    store: Store,
) -> dg.RunRequest | dg.SkipReason:
    """A run costs twenty seconds of a core, a look milliseconds."""
    settings = store.settings
    with store.client() as client:
        found = waiting(client, identity(choose(settings)), settings.embedding_daily_texts)
        # Twice the interval: rather one run in vain than one left out.
        changed = estimates.examples_changed(client, timedelta(hours=2))
    if not (found.texts or found.examples or changed):
        return dg.SkipReason("no text waits to be embedded, and the canonical examples are as they were")
    return dg.RunRequest()
