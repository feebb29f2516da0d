with calls as (

    select * from {{ ref('stg_llm_traces') }}
    where is_billed and session_id != ''

),

sessions as (

    select
        tenant_id,
        session_id,
        min(calls.called_at) as started_at,
        count() as requests,
        countIf(isNull(calls.cost_usd)) as unpriced_requests,
        sum(calls.cost_usd) as cost
    from calls
    group by tenant_id, session_id

),

by_day as (

    select
        toDate(started_at) as day,
        tenant_id,
        count() as session_count,
        sum(requests) as request_count,
        sum(unpriced_requests) as unpriced_count,
        countIf(isNotNull(cost)) as priced_session_count,
        sum(cost) as cost_usd,
        cost_usd / nullIf(priced_session_count, 0) as cost_per_session_usd,
        quantileExactLowOrNull(0.5)(cost) as session_cost_p50_usd,  -- noqa: LT01
        quantileExactLowOrNull(0.95)(cost) as session_cost_p95_usd,  -- noqa: LT01
        max(cost) as session_cost_max_usd
    from sessions
    group by day, tenant_id

)

select * from by_day
