-- What is agreed with providers beside prices, and what US dollars are worth.
-- ReplacingMergeTree: the newest entry of a key counts; read with FINAL.

CREATE TABLE IF NOT EXISTS provider_contracts
(
    contract_id String,
    -- credit, or provisioned: capacity at a fixed amount.
    kind LowCardinality(String),
    provider LowCardinality(String),
    -- Exact, or a pattern with `*` and `?`; empty: any.
    model LowCardinality(String),
    -- Empty: every tenant.
    tenant_id String,
    -- Empty: standard and provisioned of a capacity, any of a credit.
    pricing_tier LowCardinality(String),
    -- Of a credit altogether; of a capacity, for one unit per `per`.
    amount_usd Decimal(38, 12),
    -- month or hour; empty: once (a credit).
    per LowCardinality(String),
    units Decimal(38, 12),
    -- What one unit serves, tokens of prompt and completion; NULL: not known.
    tokens_per_minute Nullable(UInt32),
    -- First day, and the first day on which it does not hold any more (UTC); NULL: it holds on.
    valid_from Date,
    valid_to Nullable(Date),
    source String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(ingested_at)
ORDER BY contract_id;

CREATE TABLE IF NOT EXISTS exchange_rates
(
    currency LowCardinality(String),
    day Date,
    -- Units of the currency for one US dollar.
    rate Decimal(38, 12),
    source String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(ingested_at)
ORDER BY (currency, day);
