-- Counts of the hourly rollup are those of the raw rows; weighted sums agree but for the order of adding.
with raw as (

    select
        toStartOfHour(called_at) as hour,
        tenant_id,
        model,
        prompt_template_version,
        evaluator,
        evaluator_version,
        countIf(isNotNull(score)) as scores,
        countIf(isNull(score)) as unknown,
        sum(ifNull(score, 0) / sampling_rate) as weighted
    from {{ ref('stg_llm_evaluations') }}
    where {{ is_checked_hour('called_at') }}
    group by hour, tenant_id, model, prompt_template_version, evaluator, evaluator_version

),

rolled as (

    select
        period_start as hour,
        tenant_id,
        model,
        prompt_template_version,
        evaluator,
        evaluator_version,
        sum(quality.evaluation_count) as scores,
        sum(quality.unknown_count) as unknown,
        sum(quality.weighted_score) as weighted
    from {{ ref('llm_quality_1h') }} as quality
    where {{ is_checked_hour('period_start') }}
    group by hour, tenant_id, model, prompt_template_version, evaluator, evaluator_version
    -- What corrections took away whole leaves rows of zeros behind.
    having scores != 0 or unknown != 0

)

select
    hour,
    tenant_id,
    model,
    prompt_template_version,
    evaluator,
    evaluator_version,
    raw.scores as raw_scores,
    rolled.scores as rolled_scores
from raw
full outer join rolled using (hour, tenant_id, model, prompt_template_version, evaluator, evaluator_version)
where
    (raw.scores, raw.unknown) != (rolled.scores, rolled.unknown)
    or abs(raw.weighted - rolled.weighted) > 1e-9 * (1 + abs(raw.weighted))
