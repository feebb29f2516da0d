-- What Assay concluded and did. Append-only: the state of an alert, of a decision and of a budget is derived
-- from its events, so that history cannot be rewritten.

CREATE TABLE IF NOT EXISTS alerts
(
    alert_id String,
    event_id String,
    event LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    tenant_id LowCardinality(String),
    level LowCardinality(String),
    rule LowCardinality(String),
    scope LowCardinality(String),
    model LowCardinality(String),
    prompt_template_version LowCardinality(String),
    cohort LowCardinality(String),
    summary String,
    -- JSON: the figures that the rule saw.
    evidence String,
    actor String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, alert_id, occurred_at)
SETTINGS non_replicated_deduplication_window = 10000;

-- Exponentially weighted baselines, frozen at the start of their day (UTC): one row per measure, scope and series.
-- The rows of a day that share its newest computed_at are that day's baselines.
CREATE TABLE IF NOT EXISTS kpi_baselines
(
    as_of Date,
    -- cost (USD per call) or quality (score).
    measure LowCardinality(String),
    -- tenant, model, template, family (template without its version) or series (model and template).
    scope LowCardinality(String),
    tenant_id LowCardinality(String),
    model LowCardinality(String),
    prompt_template_version LowCardinality(String),
    -- Empty for cost: scores of different evaluators are never mixed.
    evaluator LowCardinality(String),
    evaluator_version LowCardinality(String),
    -- Of the hourly medians: their weighted median, and their robust standard deviation.
    median Float64,
    std Float64,
    -- Standard deviation of single calls (of single scores) within an hour.
    spread Float64,
    -- Priced calls or scores, and hours with any, that went in: what decides whether a series is still cold.
    sample_count UInt64,
    hours UInt32,
    half_life_days Float64,
    computed_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(computed_at)
PARTITION BY toYYYYMM(as_of)
ORDER BY (as_of, measure, scope, tenant_id, model, prompt_template_version, evaluator, evaluator_version);

CREATE TABLE IF NOT EXISTS actuator_decisions
(
    decision_id String,
    event_id String,
    event LowCardinality(String),
    occurred_at DateTime64(3, 'UTC'),
    tenant_id LowCardinality(String),
    action LowCardinality(String),
    model_from LowCardinality(String),
    model_to LowCardinality(String),
    reason String,
    evidence String,
    actor String
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, decision_id, occurred_at)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS budget_ledger
(
    tenant_id LowCardinality(String),
    session_id String,
    lease_id String,
    request_id String,
    event LowCardinality(String),
    amount_nano_usd Int64,
    occurred_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (tenant_id, session_id, occurred_at)
SETTINGS non_replicated_deduplication_window = 10000;
