-- One row per trace: the series of its first billed call, and what all its billed calls cost.
with calls as (

    select * from {{ ref('stg_llm_traces') }}
    where is_billed

),

traces as (

    select
        tenant_id,
        trace_id,
        argMin(calls.model, calls.called_at) as model,
        argMin(calls.prompt_template_version, calls.called_at) as prompt_template_version,
        argMin(calls.task_type, calls.called_at) as task_type,
        argMin(calls.cohort, calls.called_at) as cohort,
        min(calls.called_at) as first_called_at,
        count() as request_count,
        countIf(isNull(calls.cost_usd)) as unpriced_count,
        sum(calls.cost_usd) as cost_usd
    from calls
    group by tenant_id, trace_id

)

select * from traces
