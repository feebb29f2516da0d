with labels as (

    select * from {{ ref('stg_human_labels') }}

),

evaluations as (

    select * from {{ ref('stg_llm_evaluations') }}

),

-- A label that names no tenant is the only one's who has the trace, as an outcome is.
owners as (

    select
        trace_id,
        any(having_it.tenant_id) as owner_id,
        uniqExact(having_it.tenant_id) as owner_count
    from (

        select
            evaluations.tenant_id as tenant_id,
            evaluations.trace_id as trace_id
        from evaluations

        union all

        select
            calls.tenant_id as tenant_id,
            calls.trace_id as trace_id
        from {{ ref('stg_llm_traces') }} as calls
        where calls.trace_id in (select labels.trace_id from labels)

    ) as having_it
    group by trace_id

),

owned as (

    select
        multiIf(
            labels.tenant_id != '', toString(labels.tenant_id),
            owners.owner_count = 1, toString(owners.owner_id),
            ''
        ) as tenant_id,
        labels.trace_id as trace_id,
        labels.human_score as human_score,
        labels.labelled_at as labelled_at
    from labels
    left join owners on labels.trace_id = owners.trace_id

),

rated as (

    select
        tenant_id,
        trace_id,
        avg(owned.human_score) as human_score,
        count() as raters,
        max(owned.labelled_at) as labelled_at
    from owned
    where tenant_id != ''
    group by tenant_id, trace_id

),

scored as (

    select
        toString(evaluations.tenant_id) as tenant_id,
        trace_id,
        evaluator,
        evaluator_version,
        avg(score) as judge_score,
        count() as evaluations
    from evaluations
    -- An evaluator that could not tell gave no score to compare.
    where isNotNull(score)
    group by tenant_id, trace_id, evaluator, evaluator_version

),

paired as (

    select
        rated.trace_id as trace_id,
        rated.tenant_id as tenant_id,
        scored.evaluator as evaluator,
        scored.evaluator_version as evaluator_version,
        rated.human_score as human_score,
        assumeNotNull(scored.judge_score) as judge_score,
        rated.raters as raters,
        scored.evaluations as evaluations,
        rated.labelled_at as labelled_at
    from rated
    inner join scored on rated.tenant_id = scored.tenant_id and rated.trace_id = scored.trace_id

)

select * from paired
