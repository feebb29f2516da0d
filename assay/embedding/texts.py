"""Captured text and canonical examples into vectors, in the store: bounded, resumable, each text once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from assay.embedding.embedder import Embedder, EmbedderError, Vectors, identity
from assay.settings import Settings
from assay.warehouse.erasure import digest

# Vectors of a page go in with one insert: so much is done again after a run that was cut off.
PAGE: Final = 256
# Texts that are fetched at a time. A fair sample lies all over the day, whose texts are read whole for it, so
# that few large fetches are best. 4,096 of 6,000 characters are 25 MB.
FETCH: Final = 4096

_CALL: Final = "sipHash64(tenant_id, trace_id, span_id)"
# What a text is cut to: instructions stand at its beginning or at its end.
_EXCERPT: Final = """
    if(
        lengthUTF8({0}) <= {{most:UInt32}},
        {0},
        concat(
            substringUTF8({0}, 1, intDiv({{most:UInt32}}, 2)), '\n',
            substringUTF8({0}, lengthUTF8({0}) - intDiv({{most:UInt32}}, 2) + 2)
        )
    )
"""
_DAYS: Final = """
SELECT day, sum(texts), sum(embedded)
FROM (
    SELECT retention_start AS day, count() AS texts, 0 AS embedded
    FROM llm_payloads
    WHERE notEmpty(input)
    GROUP BY day
    UNION ALL
    SELECT retention_start AS day, 0 AS texts, count() AS embedded
    FROM llm_embeddings
    WHERE embedder = {embedder:String} AND day IN (SELECT DISTINCT retention_start FROM llm_payloads)
    GROUP BY day
)
GROUP BY day
HAVING sum(texts) > sum(embedded)
ORDER BY day DESC
"""
# In the order of a hash, so that what is embedded of a day is a fair sample of it wherever one stops.
_TEXTS: Final = f"""
WITH
    waiting AS (
        SELECT tenant_id, timestamp, trace_id, span_id, {_CALL} AS call
        FROM llm_payloads
        WHERE
            retention_start = {{day:Date}} AND notEmpty(input) AND call >= {{start:UInt64}}
            AND call NOT IN (
                SELECT {_CALL} FROM llm_embeddings
                WHERE embedder = {{embedder:String}} AND retention_start = {{day:Date}}
            )
        ORDER BY call
        LIMIT 1 BY call
        LIMIT {{limit:UInt32}}
    ),
    texts AS (
        SELECT tenant_id, timestamp, trace_id, span_id, {_CALL} AS call, {_EXCERPT.format("input")} AS text
        FROM llm_payloads
        WHERE
            retention_start = {{day:Date}}
            AND (tenant_id, timestamp, trace_id, span_id)
                IN (SELECT tenant_id, timestamp, trace_id, span_id FROM waiting)
        LIMIT 1 BY call
    ),
    spans AS (
        SELECT tenant_id, trace_hash, span_hash, any(task_type) AS task_type
        FROM llm_span_index
        WHERE trace_hash IN (SELECT xxh3(trace_id) FROM waiting)
        GROUP BY tenant_id, trace_hash, span_hash
    )
SELECT
    texts.tenant_id AS tenant_id, texts.timestamp AS timestamp, texts.trace_id AS trace_id,
    texts.span_id AS span_id, spans.task_type AS task_type, texts.text AS text, texts.call AS call
FROM texts
LEFT JOIN spans
    ON spans.tenant_id = texts.tenant_id
    AND spans.trace_hash = xxh3(texts.trace_id)
    AND spans.span_hash = xxh3(texts.span_id)
ORDER BY call
"""
_EXAMPLES: Final = f"""
SELECT cityHash64(text) AS text_hash, any({_EXCERPT.format("text")}) AS excerpt
FROM canonical_examples
WHERE text_hash NOT IN (SELECT text_hash FROM example_embeddings WHERE embedder = {{embedder:String}})
GROUP BY text_hash
ORDER BY text_hash
"""
# An erasure that ended while a page was being embedded has looked at the store already.
_ERASED: Final = "SELECT DISTINCT tenant_sha256 FROM erasures WHERE occurred_at > now() - INTERVAL 1 DAY"


@dataclass(frozen=True)
class Waiting:
    """What one run would embed.

    Attributes:
        days: newest first; texts that may still be embedded of each.
        examples: canonical examples without a vector.
        beyond: texts that the daily limit leaves out, or leaves to a later hour of today.
    """

    days: tuple[tuple[date, int], ...]
    examples: int
    beyond: int

    @property
    def texts(self) -> int:
        """Of all days."""
        return sum(count for _, count in self.days)


@dataclass(frozen=True)
class Embedded:
    """What was embedded."""

    texts: int = 0
    examples: int = 0
    dropped: int = 0


def waiting(client: Client, embedder: str, daily_texts: int, now: datetime | None = None) -> Waiting:
    """What has no vector of this embedder yet: one cheap look.

    Args:
        client: of the store.
        embedder: its identity.
        daily_texts: most that are embedded of a day. Of today, a share of it that grows with the hours, so
            that the sample is not of the morning alone.
        now: aware; the present unless given.
    """
    now = now or datetime.now(UTC)
    gone = (now.hour + 1) / 24
    days, beyond = [], 0
    for day, texts, embedded in client.query(_DAYS, parameters={"embedder": embedder}).result_rows:
        allowed = daily_texts if day < now.date() else round(daily_texts * gone)
        count = max(0, min(texts, allowed) - embedded)
        beyond += texts - embedded - count
        if count:
            days.append((day, count))
    ((examples,),) = client.query(
        f"SELECT count() FROM ({_EXAMPLES})", parameters={"embedder": embedder, "most": 0}
    ).result_rows
    return Waiting(tuple(days), examples, beyond)


def embed(
    client: Client,
    embedder: Embedder,
    settings: Settings,
    *,
    note: Callable[[Embedded, Waiting], None] = lambda *_: None,
) -> tuple[Embedded, Waiting]:
    """Embed what waits: examples, then texts, the newest day first.

    A run that is cut off has kept its pages; the next one goes on behind them.

    Args:
        client: of the store.
        embedder: whose vectors.
        settings: how much of a text, and how many of a day.
        note: called after every page with what is done and what the run found waiting.

    Returns:
        What was embedded, and what had been waiting.

    Raises:
        EmbedderError: the embedder cannot; what it had done before is kept.
    """
    name, most = identity(embedder), settings.embedding_max_characters
    found = waiting(client, name, settings.embedding_daily_texts)
    done = Embedded()
    for part in _pages(client.query_arrow(_EXAMPLES, parameters={"embedder": name, "most": most})):
        _insert(
            client,
            "example_embeddings",
            {
                "embedder": pa.array([name] * part.num_rows),
                "text_hash": part["text_hash"],
                "embedding": _vectors(embedder, part["excerpt"].to_pylist()),
            },
        )
        done = replace(done, examples=done.examples + part.num_rows)
        note(done, found)
    for day, count in found.days:
        for fetched in _fetches(client, name, most, day, count):
            for page in _pages(fetched):
                done = _embed_page(client, embedder, page, day, done)
                note(done, found)
    return done, found


def _fetches(client: Client, embedder: str, most: int, day: date, count: int) -> Iterator[pa.Table]:
    start = 0
    while count > 0:
        texts = client.query_arrow(
            _TEXTS,
            parameters={
                "embedder": embedder,
                "most": most,
                "day": day,
                "start": start,
                "limit": min(FETCH, count),
            },
            use_strings=True,
        )
        if not texts.num_rows:
            return
        yield texts
        count -= texts.num_rows
        start = texts["call"][-1].as_py() + 1
        if start >= 2**64:
            return


def _embed_page(client: Client, embedder: Embedder, page: pa.Table, day: date, done: Embedded) -> Embedded:
    vectors = _vectors(embedder, page["text"].to_pylist())
    erased = {sha for (sha,) in client.query(_ERASED).result_rows}
    kept = pa.array([digest(tenant) not in erased for tenant in page["tenant_id"].to_pylist()])
    _insert(
        client,
        "llm_embeddings",
        {
            **{
                column: page[column].filter(kept)
                for column in ("tenant_id", "timestamp", "trace_id", "span_id", "task_type")
            },
            "embedder": pa.array([identity(embedder)] * page.num_rows).filter(kept),
            "embedding": vectors.filter(kept),
            "retention_start": pa.array([day] * page.num_rows, pa.date32()).filter(kept),
        },
    )
    stored = kept.true_count
    return replace(done, texts=done.texts + stored, dropped=done.dropped + page.num_rows - stored)


def _pages(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, PAGE):
        yield table.slice(start, PAGE)


def _vectors(embedder: Embedder, texts: list[str]) -> pa.FixedSizeListArray:
    vectors: Vectors = np.ascontiguousarray(embedder.embed(texts), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not vectors.shape[1]:
        raise EmbedderError(
            f"{identity(embedder)}: {len(texts)} texts gave an array of shape {vectors.shape}"
        )
    if not np.isfinite(vectors).all():
        raise EmbedderError(f"{identity(embedder)}: a vector has components that are no finite numbers")
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def _insert(client: Client, table: str, columns: dict[str, Any]) -> None:
    rows = pa.table(columns)
    if not rows.num_rows:
        return
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    content = sink.getvalue().to_pybytes()
    # The same page again, after an answer that was lost, is the same block.
    token = hashlib.sha256(content).hexdigest()
    client.raw_insert(
        table,
        list(columns),
        content,
        settings={"insert_deduplicate": 1, "insert_deduplication_token": token, "async_insert": 0},
        fmt="ArrowStream",
    )
