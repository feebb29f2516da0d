"""The hourly job that embeds captured text, and when it runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg

from assay.settings import Settings
from assay.warehouse.client import connect
from orchestration.defs.complexity.schedules import hourly_complexity_schedule
from orchestration.resources import Store
from tests.support.rows import insert, span

CALL = span(datetime.now(UTC) - timedelta(days=1), task_type="summarise")


def due() -> dg.RunRequest | dg.SkipReason:
    with dg.build_schedule_context(resources={"store": Store()}) as context:
        return hourly_complexity_schedule(context)


def test_from_captured_text_to_estimates(settings: Settings, definitions: dg.Definitions) -> None:
    """Nothing captured: no run. Then one run does all, and the next hour has nothing to do."""
    skipped = due()
    assert isinstance(skipped, dg.SkipReason)
    with connect(settings) as client:
        insert(client, "llm_traces", CALL)
        named = ("tenant_id", "timestamp", "trace_id", "span_id", "retention_start")
        text = "Summarise the meeting notes in three bullets."
        insert(client, "llm_payloads", {name: CALL[name] for name in named} | {"input": text})
        example = {"task_type": "summarise", "text": "Summarise the report.", "complexity": 4.0}
        long_ago = datetime.now(UTC) - timedelta(days=9)
        insert(client, "canonical_examples", example | {"ingested_at": long_ago})
        assert isinstance(due(), dg.RunRequest)
        with dg.DagsterInstance.ephemeral() as instance:
            result = definitions.resolve_job_def("complexity_job").execute_in_process(instance=instance)
        assert result.success
        (embedded,) = result.asset_materializations_for_node("llm_embeddings")
        assert (embedded.metadata["texts"].value, embedded.metadata["examples"].value) == (1, 1)
        (estimated,) = result.asset_materializations_for_node("task_complexity_estimates")
        assert estimated.metadata["task_types"].value == 1
        assert isinstance(due(), dg.SkipReason)
        # The same example, with another complexity: nothing is to be embedded, and the estimate is another.
        insert(client, "canonical_examples", example | {"complexity": 5.0})
        assert isinstance(due(), dg.RunRequest)
        assert client.query(
            "SELECT task_complexity, complexity_source, complexity_scale, complexity_samples "
            "FROM int_task_complexity"
        ).result_rows[0][1:] == ("examples", "examples", 1)
