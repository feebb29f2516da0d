-- A percentile of the histograms is within 1 % of a value at that rank: of the raw values, at most the level lies
-- more than 1 % below it, and at least the level lies at most 1 % above it.
with kpis as (

    select
        toDate(period_start) as day,
        tenant_id,
        assay_quantile(sumMap(latency_histogram), 0.5) as latency_p50,
        assay_quantile(sumMap(latency_histogram), 0.95) as latency_p95,
        assay_quantile(sumMap(cost_histogram), 0.5) as cost_p50,
        assay_quantile(sumMap(cost_histogram), 0.95) as cost_p95
    from {{ ref('llm_kpi_1h') }}
    where {{ is_checked_day('period_start') }}
    group by day, tenant_id

),

traces as (

    select
        toDate(called_at) as day,
        tenant_id,
        latency_ms,
        toFloat64(cost_usd) as cost
    from {{ ref('stg_llm_traces') }}
    where is_billed and {{ is_checked_day('called_at') }}

),

ranks as (

    select
        traces.day as day,
        traces.tenant_id as tenant_id,
        {%- for value, estimate, level in [
            ('latency_ms', 'latency_p50', 0.5), ('latency_ms', 'latency_p95', 0.95),
            ('cost', 'cost_p50', 0.5), ('cost', 'cost_p95', 0.95)
        ] %}
        -- A billionth, for the rounding of the comparison itself.
        countIf(traces.{{ value }} < kpis.{{ estimate }} * 0.99 * (1 - 1e-9))
        <= {{ level }} * count(traces.{{ value }})
        and countIf(traces.{{ value }} <= kpis.{{ estimate }} * 1.01 * (1 + 1e-9))
        >= {{ level }} * count(traces.{{ value }}) as {{ estimate }}_holds{% if not loop.last %},{% endif %}
        {%- endfor %}
    from traces
    inner join kpis on traces.day = kpis.day and traces.tenant_id = kpis.tenant_id
    group by day, tenant_id

)

select * from ranks
where not (latency_p50_holds and latency_p95_holds and cost_p50_holds and cost_p95_holds)
