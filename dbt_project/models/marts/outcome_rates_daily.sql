-- How often traces convert and escalate, by the series that they began with. Outcomes are looked up when this
-- is read, so it does not matter whether they or their calls arrived first.
with traces as (

    select * from {{ ref('int_traces') }}

),

outcomes as (

    select * from {{ ref('int_outcomes') }}
    where tenant_id != '' and trace_id != ''

),

by_trace as (

    select
        tenant_id,
        trace_id,
        countIf(outcomes.event = '{{ var("conversion_event") }}') as conversions,
        countIf(outcomes.event = '{{ var("escalation_event") }}') as escalations,
        sumIf(outcomes.outcome_value, outcomes.event = '{{ var("conversion_event") }}') as conversion_value
    from outcomes
    group by tenant_id, trace_id

),

by_series as (

    select
        toDate(traces.first_called_at) as day,
        traces.tenant_id as tenant_id,
        traces.model as model,
        traces.prompt_template_version as prompt_template_version,
        count() as trace_count,
        countIf(by_trace.conversions > 0) as converted_count,
        countIf(by_trace.escalations > 0) as escalated_count,
        sum(by_trace.conversion_value) as conversion_value,
        sum(traces.request_count) as request_count,
        sum(traces.unpriced_count) as unpriced_count,
        sum(traces.cost_usd) as cost_usd
    from traces
    left join by_trace on traces.tenant_id = by_trace.tenant_id and traces.trace_id = by_trace.trace_id
    group by day, tenant_id, model, prompt_template_version

),

rates as (

    select
        day,
        tenant_id,
        model,
        prompt_template_version,
        trace_count,
        converted_count,
        escalated_count,
        converted_count / trace_count as conversion_rate,
        escalated_count / trace_count as escalation_rate,
        conversion_value,
        request_count,
        unpriced_count,
        cost_usd,
        cost_usd / nullIf(converted_count, 0) as cost_per_conversion_usd
    from by_series

)

select * from rates
