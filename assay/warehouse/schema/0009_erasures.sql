-- Erasures of tenants, append-only: who asked, why, what was found, what was left. Of the id only its SHA-256 is
-- kept: whoever knows the id finds its erasure, and nobody reads the id from it.

CREATE TABLE IF NOT EXISTS erasures
(
    erasure_id String,
    -- begun, finished, or incomplete.
    event LowCardinality(String),
    occurred_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'),
    tenant_sha256 String,
    actor String,
    reason String,
    -- JSON: by table and column, or key of the queue's server, what was found and what was left.
    detail String
)
ENGINE = MergeTree
ORDER BY (tenant_sha256, occurred_at);
