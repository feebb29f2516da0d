"""Vectors of captured text, and the complexity of task types that follows from them."""

import time

import dagster as dg

from assay.embedding import estimates
from assay.embedding.embedder import choose, identity
from assay.embedding.texts import Embedded, Waiting, embed
from orchestration.resources import Store

GROUP = "complexity"


@dg.asset(
    group_name=GROUP,
    kinds={"clickhouse"},
    deps=["llm_traces", "canonical_examples"],
    # Two runs would embed the same texts.
    pool="embedding",
    description="Vectors of captured text, by the embedder of the settings; they outlive the text.",
)
def llm_embeddings(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """Embed what waits. A run that fails has kept its pages; the next one goes on behind them."""
    settings = store.settings
    embedder = choose(settings)

    def note(done: Embedded, found: Waiting) -> None:
        context.log.info(f"{done.texts} of {found.texts} texts, {done.examples} of {found.examples} examples")

    began = time.monotonic()
    with store.client() as client:
        done, found = embed(client, embedder, settings, note=note)
    return dg.MaterializeResult(
        metadata={
            "embedder": identity(embedder),
            "texts": done.texts,
            "examples": done.examples,
            "beyond_daily_limit": found.beyond,
            "seconds": round(time.monotonic() - began, 3),
        }
    )


@dg.asset(
    group_name=GROUP,
    kinds={"clickhouse"},
    deps=[llm_embeddings, "canonical_examples"],
    description="Complexity of task types by the canonical examples that their calls are near to.",
)
def task_complexity_estimates(store: Store) -> dg.MaterializeResult[None]:
    """Estimate every task type with captured text anew."""
    began = time.monotonic()
    with store.client() as client:
        found = estimates.refresh(client, identity(choose(store.settings)))
    columns = [
        dg.TableColumn(name, "string" if name == "task_type" else "float")
        for name in ("task_type", "complexity", "calls", "examples", "nearest_distance")
    ]
    return dg.MaterializeResult(
        metadata={
            "task_types": len(found),
            "seconds": round(time.monotonic() - began, 3),
            "estimates": dg.MetadataValue.table(
                [dg.TableRecord({c.name: getattr(row, c.name) for c in columns}) for row in found[:50]],
                schema=dg.TableSchema(columns=columns),
            ),
        }
    )
