{# The hour leads the order, so that the last hour is read without reading the month. #}
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(toStartOfHour(period_start), tenant_id, model, prompt_template_version, task_type, cohort, evaluator, evaluator_version, period_start)',
    partition_by='toYYYYMM(period_start)',
    ttl='retention_start + interval ' ~ var('minute_rollup_days') ~ ' day',
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
    sumSimpleState(toInt64(sign * isNotNull(score))) as evaluation_count,
    sumSimpleState(toInt64(sign * isNull(score))) as unknown_count,
    sumSimpleState(sign * weight) as score_weight,
    sumSimpleState(sign * ifNull(score, 0) * weight) as weighted_score,
    -- Counts are whole numbers: a thousandth is finer than any sampling rate in use.
    sumMapSimpleState(
        if(
            isNull(score),
            map(),
            map(assay_score_bucket(assumeNotNull(score)), toInt64(sign * round(1000 * weight)))
        )
    ) as score_histogram,
    -- From when its retention counts: live, the day of the call; history, the day on which it was loaded.
    maxSimpleState(greatest(evaluations.retention_start, toDate(span_timestamp))) as retention_start
from evaluations
group by period_start, {{ series() }}, evaluator, evaluator_version
