-- Outcomes that name a trace, with the series of the trace's first billed call. A call that is billed under
-- another trace, as by a gateway that tells of it as well, is this trace's call all the same.
with outcomes as (

    select * from {{ ref('int_outcomes') }}
    where tenant_id != '' and trace_id != ''

),

told as (

    select
        *,
        countIf(is_billed) over tellings as billed_tellings,
        row_number() over (tellings order by called_at) as telling
    from {{ ref('stg_llm_traces') }}
    where
        (is_billed or unbilled_reason = 'twin')
        and trace_id in (select outcomes.trace_id from outcomes)
    window tellings as (partition by tenant_id, trace_id, response_id)

),

traces as (

    select * from told
    where is_billed or (billed_tellings = 0 and telling = 1)

),

first_calls as (

    select
        tenant_id,
        trace_id,
        argMin(traces.model, traces.called_at) as model,
        argMin(traces.prompt_template_version, traces.called_at) as prompt_template_version,
        argMin(traces.task_type, traces.called_at) as task_type,
        argMin(traces.cohort, traces.called_at) as cohort,
        min(traces.called_at) as first_called_at,
        countIf(isNull(traces.cost_usd)) as trace_unpriced_count,
        sum(traces.cost_usd) as trace_cost_usd
    from traces
    group by tenant_id, trace_id

),

attributed as (

    select
        outcomes.trace_id as trace_id,
        outcomes.event as event,
        outcomes.outcome_value as outcome_value,
        outcomes.happened_at as happened_at,
        outcomes.tenant_id as tenant_id,
        first_calls.model as model,
        first_calls.prompt_template_version as prompt_template_version,
        first_calls.task_type as task_type,
        first_calls.cohort as cohort,
        first_calls.first_called_at as called_at,
        first_calls.trace_unpriced_count as trace_unpriced_count,
        first_calls.trace_cost_usd as trace_cost_usd
    from outcomes
    inner join first_calls
        on
            outcomes.tenant_id = first_calls.tenant_id
            and outcomes.trace_id = first_calls.trace_id

)

select * from attributed
