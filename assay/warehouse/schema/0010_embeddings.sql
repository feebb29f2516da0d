-- Task complexity from captured text.

-- Kept with the vector: the spans of a year would have to be joined for it, and it outlives none of them.
ALTER TABLE llm_embeddings ADD COLUMN IF NOT EXISTS task_type LowCardinality(String) AFTER span_id;

-- Vectors of canonical_examples, by text. `embedder` is name@version: only vectors of the same are compared.
CREATE TABLE IF NOT EXISTS example_embeddings
(
    embedder LowCardinality(String),
    -- cityHash64 of the text.
    text_hash UInt64,
    embedding Array(Float32),
    embedded_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(embedded_at)
ORDER BY (embedder, text_hash);

-- Complexity of task types in the units of the canonical examples. Append-only; the newest estimate counts whole.
CREATE TABLE IF NOT EXISTS task_complexity_estimates
(
    estimated_at DateTime64(6, 'UTC'),
    task_type LowCardinality(String),
    embedder LowCardinality(String),
    -- Mean over the calls.
    complexity Float64,
    -- Between the quartiles of the calls; NULL of a single one.
    complexity_iqr Nullable(Float64),
    calls UInt32,
    -- Canonical examples that the calls were compared with.
    examples UInt32,
    -- Median cosine distance of a call to its nearest example.
    nearest_distance Float64
)
ENGINE = MergeTree
ORDER BY (estimated_at, task_type)
SETTINGS non_replicated_deduplication_window = 10000;
