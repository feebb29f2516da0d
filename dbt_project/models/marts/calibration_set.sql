with labels as (

    select * from {{ ref('stg_human_labels') }}

),

evaluations as (

    select * from {{ ref('stg_llm_evaluations') }}

),

rated as (

    select
        trace_id,
        avg(labels.human_score) as human_score,
        count() as raters,
        max(labels.labelled_at) as labelled_at
    from labels
    group by trace_id

),

scored as (

    select
        trace_id,
        evaluator,
        evaluator_version,
        any(tenant_id) as tenant_id,
        avg(score) as judge_score,
        count() as evaluations
    from evaluations
    -- An evaluator that could not tell gave no score to compare.
    where isNotNull(score)
    group by trace_id, evaluator, evaluator_version

),

paired as (

    select
        rated.trace_id as trace_id,
        scored.tenant_id as tenant_id,
        scored.evaluator as evaluator,
        scored.evaluator_version as evaluator_version,
        rated.human_score as human_score,
        assumeNotNull(scored.judge_score) as judge_score,
        rated.raters as raters,
        scored.evaluations as evaluations,
        rated.labelled_at as labelled_at
    from rated
    inner join scored on rated.trace_id = scored.trace_id

)

select * from paired
