-- Scores of evaluators and reactions of end users side by side. They are never averaged into one another: who
-- bothers to react is no sample of the calls.
with evaluators as (

    select * from {{ ref('quality_daily') }}

),

feedback as (

    select * from {{ ref('stg_end_user_feedback') }}

),

end_users as (

    select
        toDate(ifNull(called_at, responded_at)) as day,
        tenant_id,
        model,
        prompt_template_version,
        toInt64(count()) as reactions,
        avg(feedback.feedback_score) as mean_score,
        quantileExactLow(0.05)(feedback.feedback_score) as score_p05,  -- noqa: LT01
        quantileExactLow(0.5)(feedback.feedback_score) as score_p50  -- noqa: LT01
    from feedback
    group by day, tenant_id, model, prompt_template_version

),

together as (

    select
        day,
        tenant_id,
        model,
        prompt_template_version,
        'evaluator' as quality_source,
        toString(evaluator) as evaluator,
        toString(evaluator_version) as evaluator_version,
        evaluation_count,
        unknown_count,
        quality_mean,
        quality_p05,
        quality_p50
    from evaluators

    union all

    select
        day,
        tenant_id,
        model,
        prompt_template_version,
        'end-user' as quality_source,
        'end-user' as evaluator,
        '' as evaluator_version,
        reactions as evaluation_count,
        toInt64(0) as unknown_count,
        toNullable(mean_score) as quality_mean,
        toNullable(score_p05) as quality_p05,
        toNullable(score_p50) as quality_p50
    from end_users

)

select * from together
