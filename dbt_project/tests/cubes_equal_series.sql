-- A cube is the sum of the series: by tenant, by model, by template.
{%- set dimensions = cubes() %}
with series as (

    select
        period_start as period,
        arrayJoin(array(
            {%- for name in dimensions %}
                tuple('{{ name }}', toString(kpis.{{ name }})){% if not loop.last %},{% endif %}
            {%- endfor %}
        )) as part,
        kpis.cohort as cohort,
        sum(kpis.request_count) as requests,
        sum(kpis.prompt_tokens) as prompt,
        sum(ifNull(kpis.cost_usd, 0)) as cost,
        sumMap(kpis.latency_histogram) as latency
    from {{ ref('llm_kpi_1d') }} as kpis
    where {{ is_checked_day('period_start') }}
    group by period, part, cohort

),

cubed as (

    select
        period_start as period,
        -- Two of the three are empty.
        tuple(kpis.dimension, concat(kpis.{{ dimensions | join(', kpis.') }})) as part,
        kpis.cohort as cohort,
        sum(kpis.request_count) as requests,
        sum(kpis.prompt_tokens) as prompt,
        sum(ifNull(kpis.cost_usd, 0)) as cost,
        sumMap(kpis.latency_histogram) as latency
    from {{ ref('llm_kpi_cubes') }} as kpis
    where
        kpis.grain = '1d'
        and {{ is_checked_day('period_start') }}
    group by period, part, cohort

)

select
    period,
    part,
    cohort,
    series.requests as requests_of_series,
    cubed.requests as requests_of_cube
from series
full outer join cubed using (period, part, cohort)
where
    (series.requests, series.prompt, series.cost) != (cubed.requests, cubed.prompt, cubed.cost)
    or series.latency != cubed.latency
