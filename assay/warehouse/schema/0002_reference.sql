-- What people enter: who the tenants are, how long tasks take, what was billed, what was rolled out.
-- ReplacingMergeTree: the newest entry of a key counts; read with FINAL.

CREATE TABLE IF NOT EXISTS tenants
(
    tenant_id String,
    name String,
    tier LowCardinality(String),
    time_zone LowCardinality(String),
    currency LowCardinality(String),
    cost_centre LowCardinality(String),
    risk_class LowCardinality(String),
    capture LowCardinality(String),
    updated_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY tenant_id;

CREATE TABLE IF NOT EXISTS task_times
(
    task_type LowCardinality(String),
    human_minutes Float64,
    source LowCardinality(String),
    timestamp DateTime64(6, 'UTC'),
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(ingested_at)
ORDER BY (task_type, source, timestamp, human_minutes);

CREATE TABLE IF NOT EXISTS canonical_examples
(
    task_type LowCardinality(String),
    text String,
    complexity Float64,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(ingested_at)
ORDER BY (task_type, cityHash64(text));

CREATE TABLE IF NOT EXISTS provider_invoices
(
    provider LowCardinality(String),
    model LowCardinality(String),
    period_start Date,
    period_end Date,
    amount_usd Decimal(38, 12),
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(ingested_at)
ORDER BY (provider, model, period_start, period_end);

CREATE TABLE IF NOT EXISTS deployments
(
    timestamp DateTime64(6, 'UTC'),
    tenant_id LowCardinality(String),
    model LowCardinality(String),
    prompt_template_version LowCardinality(String),
    version String,
    description String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(ingested_at)
ORDER BY (timestamp, tenant_id, model, prompt_template_version, version);

CREATE TABLE IF NOT EXISTS incidents
(
    id String,
    tenant_id LowCardinality(String),
    start DateTime64(6, 'UTC'),
    end DateTime64(6, 'UTC'),
    expected LowCardinality(String),
    family LowCardinality(String),
    description String,
    ingested_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(ingested_at)
ORDER BY id;

-- What a person or the runbook set aside for a while: sampling rates, disabled downgrades, silences.
CREATE TABLE IF NOT EXISTS overrides
(
    override_id String,
    tenant_id LowCardinality(String),
    model LowCardinality(String),
    prompt_template_version LowCardinality(String),
    what LowCardinality(String),
    value String,
    until Nullable(DateTime64(3, 'UTC')),
    set_by String,
    set_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(set_at)
ORDER BY override_id;
