with outcomes as (

    select * from {{ ref('int_outcomes_by_trace') }}

),

kpis as (

    select * from {{ ref('llm_kpi_1d') }}

),

events as (

    select
        toDate(called_at) as day,
        tenant_id,
        model,
        prompt_template_version,
        event,
        count() as outcomes_of_event,
        uniqExact(trace_id) as traces_with_event,
        sum(outcome_value) as value_of_event
    from outcomes
    group by day, tenant_id, model, prompt_template_version, event

),

-- Every call of the series, also those that led to nothing: that is what an outcome has cost.
spend as (

    select
        toDate(period_start) as day,
        tenant_id,
        model,
        prompt_template_version,
        sum(kpis.request_count) as requests,
        sum(kpis.priced_count) as priced_requests,
        sum(kpis.unpriced_count) as unpriced_requests,
        sum(kpis.cost_usd) as priced_cost_usd
    from kpis
    group by day, tenant_id, model, prompt_template_version

),

finalised as (

    select
        events.day as day,
        events.tenant_id as tenant_id,
        events.model as model,
        events.prompt_template_version as prompt_template_version,
        events.event as event,
        events.outcomes_of_event as outcome_count,
        events.traces_with_event as trace_count,
        events.value_of_event as outcome_value,
        spend.requests as request_count,
        spend.unpriced_requests as unpriced_count,
        if(spend.priced_requests > 0, spend.priced_cost_usd, null) as cost_usd,
        cost_usd / events.outcomes_of_event as cost_per_outcome_usd
    from events
    inner join spend
        on
            events.day = spend.day
            and events.tenant_id = spend.tenant_id
            and events.model = spend.model
            and events.prompt_template_version = spend.prompt_template_version

)

select * from finalised
