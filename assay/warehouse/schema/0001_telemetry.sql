-- Telemetry as it arrives. Every table here is written by the collector's writer and by nothing else.
--
-- `non_replicated_deduplication_window` makes a repeated insert (same insert_deduplication_token) a no-op,
-- in the table and, with deduplicate_blocks_in_dependent_materialized_views, in every rollup behind it.
-- A stored row is never updated. A correction is the row as it was with `sign` = -1 and the row as it should be with
-- `sign` = 1: the raw table collapses the pair, and every rollup behind it adds and subtracts (see
-- assay/warehouse/corrections for how both come at once). Read with FINAL, or weight by `sign`.
-- `retention_start` is the record's own day for live traffic and the day of loading for backfills: a TTL on the
-- record's time would drop old data the moment it is loaded.

CREATE TABLE IF NOT EXISTS llm_traces
(
    tenant_id LowCardinality(String),
    model LowCardinality(String),
    prompt_template_version LowCardinality(String),
    timestamp DateTime64(6, 'UTC'),
    trace_id String,
    span_id String,
    parent_span_id String,
    response_model LowCardinality(String),
    provider LowCardinality(String),
    pricing_tier LowCardinality(String),
    task_type LowCardinality(String),
    session_id String,
    user_id String,
    experiment_id LowCardinality(String),
    experiment_variant LowCardinality(String),
    cohort LowCardinality(String) MATERIALIZED if(experiment_id = '', 'production', 'experiment'),
    environment LowCardinality(String),
    status LowCardinality(String),
    error_type LowCardinality(String),
    finish_reason LowCardinality(String),
    modality LowCardinality(String),
    prompt_tokens UInt32,
    completion_tokens UInt32,
    cached_tokens Nullable(UInt32),
    cache_write_tokens Nullable(UInt32),
    reasoning_tokens Nullable(UInt32),
    units Map(LowCardinality(String), Decimal(18, 6)),
    -- False for a parent that repeats the usage of its children: it is kept, and never counted.
    billed Bool,
    -- NULL where there is no price: unknown is not zero.
    cost_usd Nullable(Decimal(38, 12)),
    cost_status LowCardinality(String),
    cost_reason LowCardinality(String),
    price_source LowCardinality(String),
    reported_cost_usd Nullable(Decimal(38, 12)),
    latency_ms Nullable(Float64),
    ttft_ms Nullable(Float64),
    attributes Map(LowCardinality(String), String),
    source LowCardinality(String),
    ingest_id String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    retention_start Date,
    sign Int8 DEFAULT 1,
    INDEX trace_id_bloom trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    -- Whether any simulated traffic is in sight is asked with every refresh of a screen.
    INDEX source_set source TYPE set(8) GRANULARITY 8
)
ENGINE = CollapsingMergeTree(sign)
PARTITION BY toYYYYMM(timestamp)
PRIMARY KEY (tenant_id, model, prompt_template_version, timestamp)
ORDER BY (tenant_id, model, prompt_template_version, timestamp, trace_id, span_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- Which records are stored already. In the order (minute, hash) 10,000 ids are looked up among 10 million in 5 ms;
-- by hash alone it takes 50 ms.
CREATE TABLE IF NOT EXISTS ingest_identity
(
    kind LowCardinality(String),
    minute DateTime('UTC'),
    hash UInt64,
    retention_start Date
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(minute)
ORDER BY (kind, minute, hash)
SETTINGS non_replicated_deduplication_window = 10000;

-- What was said, for the tenants that allow it. Short-lived, with grants of its own.
CREATE TABLE IF NOT EXISTS llm_payloads
(
    tenant_id LowCardinality(String),
    timestamp DateTime64(6, 'UTC'),
    trace_id String,
    span_id String,
    input String CODEC(ZSTD(3)),
    output String CODEC(ZSTD(3)),
    context Array(String) CODEC(ZSTD(3)),
    redactions UInt32,
    retention_start Date
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(retention_start)
ORDER BY (tenant_id, timestamp, trace_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS llm_embeddings
(
    tenant_id LowCardinality(String),
    timestamp DateTime64(6, 'UTC'),
    trace_id String,
    span_id String,
    embedder LowCardinality(String),
    embedding Array(Float32),
    retention_start Date
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (tenant_id, timestamp, trace_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- A score carries the dimensions of its span and both times: rollups go by the span's, detection by its own.
CREATE TABLE IF NOT EXISTS llm_evaluations
(
    tenant_id LowCardinality(String),
    model LowCardinality(String),
    prompt_template_version LowCardinality(String),
    task_type LowCardinality(String),
    experiment_id LowCardinality(String),
    cohort LowCardinality(String) MATERIALIZED if(experiment_id = '', 'production', 'experiment'),
    span_timestamp DateTime64(6, 'UTC'),
    timestamp DateTime64(6, 'UTC'),
    trace_id String,
    span_id String,
    evaluator LowCardinality(String),
    evaluator_version LowCardinality(String),
    -- NULL: the evaluator answered that it cannot tell.
    score Nullable(Float64),
    verdict LowCardinality(String),
    confidence Nullable(Float64),
    sampling_rate Float64,
    source LowCardinality(String),
    ingest_id String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    retention_start Date,
    sign Int8 DEFAULT 1,
    INDEX trace_id_bloom trace_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = CollapsingMergeTree(sign)
PARTITION BY toYYYYMM(timestamp)
PRIMARY KEY (tenant_id, model, prompt_template_version, timestamp)
ORDER BY (
    tenant_id, model, prompt_template_version, timestamp, trace_id, span_id, evaluator, evaluator_version
)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS end_user_feedback
(
    tenant_id LowCardinality(String),
    model LowCardinality(String),
    prompt_template_version LowCardinality(String),
    span_timestamp Nullable(DateTime64(6, 'UTC')),
    timestamp DateTime64(6, 'UTC'),
    trace_id String,
    user_id String,
    value Float64,
    comment String,
    ingest_id String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    retention_start Date
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (tenant_id, timestamp, trace_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS business_outcomes
(
    trace_id String,
    user_id String,
    event LowCardinality(String),
    value Nullable(Decimal(38, 12)),
    timestamp DateTime64(6, 'UTC'),
    ingest_id String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    retention_start Date
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (event, timestamp, trace_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS human_labels
(
    trace_id String,
    rater LowCardinality(String),
    score Float64,
    rubric LowCardinality(String),
    timestamp DateTime64(6, 'UTC'),
    ingest_id String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (trace_id, rater, timestamp)
SETTINGS non_replicated_deduplication_window = 10000;

-- What could not be accepted, with the reason and the bytes, so that nothing is lost.
CREATE TABLE IF NOT EXISTS ingest_rejects
(
    received_at DateTime64(3, 'UTC'),
    kind LowCardinality(String),
    source LowCardinality(String),
    position UInt32,
    field String,
    reason String,
    payload String CODEC(ZSTD(3)),
    ingest_id String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (received_at, kind)
SETTINGS non_replicated_deduplication_window = 10000;

-- Which spans a trace has, and under which series they are stored: a trace id is looked up in the order of its hash,
-- where a search of llm_traces itself would have to read nearly all of it. Hashes are xxh3 of the ids; 0: no parent.
-- Spans that have a parent stand in partitions of their own, because "has a stored span this parent?" is asked of
-- every block, and most traffic has no parents at all.
CREATE TABLE IF NOT EXISTS llm_span_index
(
    trace_hash UInt64,
    span_hash UInt64,
    parent_hash UInt64,
    timestamp DateTime64(6, 'UTC'),
    tenant_id LowCardinality(String),
    model LowCardinality(String),
    prompt_template_version LowCardinality(String),
    task_type LowCardinality(String),
    experiment_id LowCardinality(String),
    has_usage Bool,
    retention_start Date
)
ENGINE = MergeTree
PARTITION BY (toYYYYMM(timestamp), parent_hash != 0)
ORDER BY (trace_hash, span_hash)
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 10000;

CREATE MATERIALIZED VIEW IF NOT EXISTS llm_span_index_view TO llm_span_index AS
SELECT
    xxh3(trace_id) AS trace_hash,
    xxh3(span_id) AS span_hash,
    if(parent_span_id = '', 0, xxh3(parent_span_id)) AS parent_hash,
    timestamp,
    tenant_id,
    model,
    prompt_template_version,
    task_type,
    experiment_id,
    prompt_tokens + completion_tokens > 0 AS has_usage,
    retention_start
FROM llm_traces
WHERE sign = 1;

-- Corrections of stored telemetry, append-only: what was changed, why, by whom, and whether it is complete.
CREATE TABLE IF NOT EXISTS corrections
(
    correction_id String,
    event LowCardinality(String),
    occurred_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    target LowCardinality(String),
    reason String,
    actor String,
    rows UInt64,
    chunks UInt32
)
ENGINE = MergeTree
ORDER BY (correction_id, occurred_at);
