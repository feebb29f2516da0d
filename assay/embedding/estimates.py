"""The complexity of task types, from the vectors in the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from assay.embedding.complexity import Estimates, Examples, TypeEstimate, by_type, estimate
from assay.embedding.embedder import Vectors

# So many days of calls say what a task type is like now: whole weeks, because weekends differ.
DAYS: Final = 28
# Calls of a task type: the mean of 1,000 is known to 3 % of what single calls differ by.
SAMPLE: Final = 1_000

_EXAMPLES: Final = """
SELECT examples.task_type AS task_type, examples.complexity AS complexity, vectors.embedding AS embedding
FROM (SELECT task_type, complexity, cityHash64(text) AS text_hash FROM canonical_examples FINAL) AS examples
INNER JOIN (
    SELECT text_hash, embedding FROM example_embeddings FINAL WHERE embedder = {embedder:String}
) AS vectors
    ON vectors.text_hash = examples.text_hash
"""
_CALL: Final = "sipHash64(tenant_id, trace_id, span_id)"
_RECENT: Final = """
    embedder = {embedder:String} AND task_type != '' AND retention_start > today() - {days:UInt16}
    AND length(embedding) = {length:UInt32}
"""
_CALLS: Final = f"""
SELECT task_type, embedding
FROM llm_embeddings
WHERE {_RECENT} AND {_CALL} IN (
    SELECT arrayJoin(groupArraySorted({SAMPLE})({_CALL}))
    FROM llm_embeddings
    WHERE {_RECENT}
    GROUP BY task_type
)
LIMIT 1 BY {_CALL}
"""


def refresh(client: Client, embedder: str) -> list[TypeEstimate]:
    """Estimate the complexity of every task type with captured text, and store the estimates.

    Args:
        client: of the store.
        embedder: the identity of the one whose vectors are compared.

    Returns:
        What was stored; nothing where there are no examples, or no text of a task type.
    """
    examples = read_examples(client, embedder)
    if examples is None:
        return []
    task_types, parts = [], []
    parameters = {"embedder": embedder, "days": DAYS, "length": examples.vectors.shape[1]}
    # In blocks: the vectors of all task types at once may be more than memory.
    with client.query_arrow_stream(_CALLS, parameters=parameters, use_strings=True) as blocks:
        for block in blocks:
            of = np.array(block["task_type"].to_pylist(), np.str_)
            task_types.append(of)
            parts.append(estimate(_matrix(block["embedding"]), of, examples))
    if not parts:
        return []
    found = by_type(np.concatenate(task_types), Estimates(*map(np.concatenate, zip(*parts, strict=True))))
    if found:
        at = datetime.now(UTC)
        client.insert(
            "task_complexity_estimates",
            [[at, embedder, *row] for row in found],
            column_names=["estimated_at", "embedder", *TypeEstimate._fields],
        )
    return found


def examples_changed(client: Client, within: timedelta) -> bool:
    """Whether a canonical example was entered lately: also one that is known gets another complexity so."""
    ((newest, now),) = client.query(
        "SELECT max(ingested_at), now64(3, 'UTC') FROM canonical_examples"
    ).result_rows
    return bool(now - newest < within)


def read_examples(client: Client, embedder: str) -> Examples | None:
    """The canonical examples that have a vector; None where none has."""
    rows = client.query_arrow(_EXAMPLES, parameters={"embedder": embedder}, use_strings=True)
    if not rows.num_rows:
        return None
    return Examples(
        _matrix(rows["embedding"]),
        rows["complexity"].to_numpy(),
        np.array(rows["task_type"].to_pylist(), np.str_),
    )


def _matrix(column: pa.Array | pa.ChunkedArray) -> Vectors:
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values: Vectors = flat.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1)
