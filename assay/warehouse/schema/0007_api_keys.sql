-- Who may send, read and control. Of a key only the SHA-256 is kept.
-- ReplacingMergeTree: the newest row of a key counts; read with FINAL.

CREATE TABLE IF NOT EXISTS api_keys
(
    key_id String,
    name String,
    secret_hash String,
    -- ['*']: every tenant.
    tenants Array(String),
    scopes Array(LowCardinality(String)),
    -- Records a second, and how many at once; NULL: no limit.
    records_per_second Nullable(Float64),
    burst Nullable(UInt32),
    created_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    -- NULL: never.
    expires_at Nullable(DateTime64(6, 'UTC')),
    revoked_at Nullable(DateTime64(6, 'UTC')),
    -- The key that this one took over from; empty for a new one.
    replaces String,
    updated_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY key_id;

-- Apart from the keys themselves, so that noting a use can never undo a revocation that happens meanwhile.
CREATE TABLE IF NOT EXISTS api_key_uses
(
    key_id String,
    used_at DateTime('UTC')
)
ENGINE = ReplacingMergeTree(used_at)
ORDER BY key_id;
