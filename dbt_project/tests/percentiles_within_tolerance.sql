-- A percentile of the histograms is within 1 % of the value at that rank: at most that share of the raw
-- values lies more than 1 % below it, and at least that share lies at most 1 % above it.
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
        {{ rank_holds('traces.latency_ms', 'kpis.latency_p50', 0.5) }} as latency_p50_holds,
        {{ rank_holds('traces.latency_ms', 'kpis.latency_p95', 0.95) }} as latency_p95_holds,
        {{ rank_holds('traces.cost', 'kpis.cost_p50', 0.5) }} as cost_p50_holds,
        {{ rank_holds('traces.cost', 'kpis.cost_p95', 0.95) }} as cost_p95_holds
    from traces
    inner join kpis on traces.day = kpis.day and traces.tenant_id = kpis.tenant_id
    group by day, tenant_id

)

select * from ranks
where not (latency_p50_holds and latency_p95_holds and cost_p50_holds and cost_p95_holds)
