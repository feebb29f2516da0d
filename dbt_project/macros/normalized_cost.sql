{#- Normalized Token Cost = priced cost / task complexity, per period and series; the same at every grain. Where -#}
{#- the complexity of a task is not known, neither is its normalized cost: it is not 1 by default. -#}
{%- macro normalized_cost(kpi, complexity) -%}
with kpis as (

    select
        period_start,
        {{ series() }},
        sum(rollup.request_count) as requests,
        sum(rollup.priced_count) as priced_requests,
        sum(rollup.cost_usd) as cost
    from {{ kpi }} as rollup
    group by period_start, {{ series() }}
    having requests > 0

),

complexities as (

    select * from {{ complexity }}

)

select
    kpis.period_start as period_start,
    kpis.tenant_id as tenant_id,
    kpis.model as model,
    kpis.prompt_template_version as prompt_template_version,
    kpis.task_type as task_type,
    kpis.cohort as cohort,
    kpis.requests as request_count,
    kpis.priced_requests as priced_count,
    if(kpis.priced_requests > 0, kpis.cost, null) as cost_usd,
    nullIf(complexities.task_complexity, 0) as task_complexity,
    if(isNull(task_complexity), 'none', complexities.complexity_source) as complexity_source,
    if(isNull(task_complexity), 'none', complexities.complexity_scale) as complexity_scale,
    complexities.complexity_samples as complexity_samples,
    if(isNull(task_complexity), null, complexities.complexity_iqr) as complexity_iqr,
    cost_usd / task_complexity as normalized_cost_usd,
    normalized_cost_usd / nullIf(priced_count, 0) as normalized_cost_per_call_usd
from kpis
left join complexities on kpis.task_type = complexities.task_type
{%- endmacro -%}
