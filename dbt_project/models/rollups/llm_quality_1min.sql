{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(tenant_id, model, prompt_template_version, task_type, cohort, evaluator, evaluator_version, period_start)',
    partition_by='toYYYYMM(period_start)',
    ttl='period_start + interval ' ~ var('minute_rollup_days') ~ ' day',
    settings={'non_replicated_deduplication_window': 10000}
) }}

with evaluations as (

    select
        *,
        cohort,
        -- Inverse of the sampling rate: what makes a stratified sample unbiased.
        if(isNull(score), 0, 1 / sampling_rate) as weight
    from {{ source('llm', 'llm_evaluations') }}

)

select
    toStartOfMinute(span_timestamp) as period_start,
    {{ series() }},
    evaluator,
    evaluator_version,
    sumSimpleState(toUInt64(isNotNull(score))) as evaluation_count,
    sumSimpleState(toUInt64(isNull(score))) as unknown_count,
    sumSimpleState(weight) as score_weight,
    sumSimpleState(ifNull(score, 0) * weight) as weighted_score,
    -- Weights of this sketch are whole numbers: a thousandth is finer than any sampling rate in use.
    quantilesTDigestWeightedState(0.05, 0.5, 0.95)(score, toUInt64(round(1000 * weight))) as score_quantiles
from evaluations
group by period_start, {{ series() }}, evaluator, evaluator_version
