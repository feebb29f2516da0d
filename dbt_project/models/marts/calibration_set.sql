with labels as (

    select
        trace_id,
        avg(score) as human_score,
        count() as raters,
        max(timestamp) as labelled_at
    from {{ source('llm', 'human_labels') }}
    group by trace_id

),

scores as (

    select
        trace_id,
        evaluator,
        evaluator_version,
        any(tenant_id) as tenant_id,
        avg(score) as judge_score,
        count() as evaluations
    from {{ source('llm', 'llm_evaluations') }}
    where isNotNull(score)
    group by trace_id, evaluator, evaluator_version

),

paired as (

    select
        labels.trace_id as trace_id,
        scores.tenant_id as tenant_id,
        scores.evaluator as evaluator,
        scores.evaluator_version as evaluator_version,
        labels.human_score as human_score,
        scores.judge_score as judge_score,
        labels.raters as raters,
        scores.evaluations as evaluations,
        labels.labelled_at as labelled_at
    from labels
    inner join scores on labels.trace_id = scores.trace_id

)

select * from paired
