with kpis as (

    select * from {{ ref('llm_kpi_1d') }}

),

tenants as (

    select * from {{ ref('stg_tenants') }}

),

by_model as (

    select
        period_start,
        tenant_id,
        model,
        sum(kpis.request_count) as requests,
        sum(kpis.priced_count) as priced_requests,
        sum(kpis.unpriced_count) as unpriced_requests,
        sum(kpis.prompt_tokens) as sum_prompt_tokens,
        sum(kpis.completion_tokens) as sum_completion_tokens,
        sum(kpis.cost_usd) as priced_cost_usd,
        sum(kpis.reported_cost_usd) as sum_reported_cost_usd
    from kpis
    group by period_start, tenant_id, model

),

attributed as (

    select
        toDate(by_model.period_start) as day,
        by_model.tenant_id as tenant_id,
        -- A tenant that nobody entered yet still spends.
        if(tenants.tenant_id = '', by_model.tenant_id, tenants.tenant_name) as tenant_name,
        tenants.tier as tier,
        tenants.cost_centre as cost_centre,
        by_model.model as model,
        by_model.requests as request_count,
        by_model.unpriced_requests as unpriced_count,
        by_model.sum_prompt_tokens as prompt_tokens,
        by_model.sum_completion_tokens as completion_tokens,
        -- Nothing priced is unknown, not free.
        if(by_model.priced_requests > 0, by_model.priced_cost_usd, null) as cost_usd,
        by_model.sum_reported_cost_usd as reported_cost_usd
    from by_model
    left join tenants on by_model.tenant_id = tenants.tenant_id
    -- A series whose every call was corrected away leaves a row of zeros behind.
    where by_model.requests > 0

)

select * from attributed
