-- A day is the sum of its hours.
with finer as (

    select
        toStartOfDay(period_start) as period,
        tenant_id,
        sum(kpis.request_count) as requests,
        sum(kpis.prompt_tokens) as prompt,
        sum(kpis.completion_tokens) as completion,
        sum(ifNull(kpis.cost_usd, 0)) as cost,
        sumMap(kpis.latency_histogram) as latency
    from {{ ref('llm_kpi_1h') }} as kpis
    where {{ is_checked_day('period_start') }}
    group by period, tenant_id

),

coarser as (

    select
        period_start as period,
        tenant_id,
        sum(kpis.request_count) as requests,
        sum(kpis.prompt_tokens) as prompt,
        sum(kpis.completion_tokens) as completion,
        sum(ifNull(kpis.cost_usd, 0)) as cost,
        sumMap(kpis.latency_histogram) as latency
    from {{ ref('llm_kpi_1d') }} as kpis
    where {{ is_checked_day('period_start') }}
    group by period, tenant_id

)

select
    period,
    tenant_id,
    finer.requests as requests_of_finer,
    coarser.requests as requests_of_coarser
from finer
full outer join coarser using (period, tenant_id)
where
    (finer.requests, finer.prompt, finer.completion) != (coarser.requests, coarser.prompt, coarser.completion)
    or finer.cost != coarser.cost
    or finer.latency != coarser.latency
