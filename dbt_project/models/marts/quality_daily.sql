with scores as (

    select * from {{ ref('llm_quality_1d') }}

),

by_evaluator as (

    select
        period_start,
        tenant_id,
        model,
        prompt_template_version,
        evaluator,
        evaluator_version,
        sum(scores.evaluation_count) as known,
        sum(scores.unknown_count) as unknown,
        sum(scores.score_weight) as weight,
        sum(scores.weighted_score) as weighted,
        sumMap(scores.score_histogram) as histogram
    from scores
    group by period_start, tenant_id, model, prompt_template_version, evaluator, evaluator_version

),

finalised as (

    select
        toDate(period_start) as day,
        tenant_id,
        model,
        prompt_template_version,
        evaluator,
        evaluator_version,
        known as evaluation_count,
        unknown as unknown_count,
        unknown / (known + unknown) as unknown_share,
        if(known > 0, weighted / weight, null) as quality_mean,
        assay_score_quantile(histogram, 0.05) as quality_p05,
        assay_score_quantile(histogram, 0.5) as quality_p50
    from by_evaluator
    where known + unknown > 0

)

select * from finalised
