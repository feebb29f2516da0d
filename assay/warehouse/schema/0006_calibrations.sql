-- How far evaluators agree with people: one row per calibration, never changed afterwards.

CREATE TABLE IF NOT EXISTS evaluator_calibrations
(
    evaluator LowCardinality(String),
    evaluator_version LowCardinality(String),
    computed_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    n UInt32,
    -- NULL where there were too few examples, or where one side gave all of them the same score.
    spearman Nullable(Float64),
    spearman_low Nullable(Float64),
    spearman_high Nullable(Float64),
    kendall Nullable(Float64),
    agreement Nullable(Float64),
    gate LowCardinality(String),
    gate_reason String,
    -- From the evaluator's scale to the human one, piecewise linear between these points; empty where not fitted.
    map_from Array(Float64),
    map_to Array(Float64)
)
ENGINE = MergeTree
ORDER BY (evaluator, evaluator_version, computed_at)
SETTINGS non_replicated_deduplication_window = 10000;
