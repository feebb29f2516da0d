-- What is known of each end user: how they use it, and the signals that name them (renewal, churn, …). A
-- signal that arrives before the user's first call shows as soon as that is stored.
with calls as (

    select * from {{ ref('stg_llm_traces') }}
    where is_billed and user_id != ''

),

signals as (

    select * from {{ ref('int_outcomes_by_user') }}
    where tenant_id != ''

),

usage as (

    select
        tenant_id,
        user_id,
        min(calls.called_at) as first_called_at,
        max(calls.called_at) as last_called_at,
        uniqExact(toDate(calls.called_at)) as active_days,
        count() as request_count,
        countIf(isNull(calls.cost_usd)) as unpriced_count,
        sum(calls.cost_usd) as cost_usd
    from calls
    group by tenant_id, user_id

),

signalled as (

    select
        tenant_id,
        user_id,
        count() as signal_count,
        argMax(signals.event, signals.happened_at) as last_signal,
        -- In a tuple, because argMax passes over NULL.
        tupleElement(argMax(tuple(signals.outcome_value), signals.happened_at), 1) as last_signal_value,
        maxOrNull(signals.happened_at) as last_signal_at
    from signals
    group by tenant_id, user_id

),

joined as (

    select
        usage.tenant_id as tenant_id,
        usage.user_id as user_id,
        usage.first_called_at as first_called_at,
        usage.last_called_at as last_called_at,
        usage.active_days as active_days,
        usage.request_count as request_count,
        usage.unpriced_count as unpriced_count,
        usage.cost_usd as cost_usd,
        signalled.signal_count as signal_count,
        signalled.last_signal as last_signal,
        signalled.last_signal_value as last_signal_value,
        signalled.last_signal_at as last_signal_at
    from usage
    left join signalled on usage.tenant_id = signalled.tenant_id and usage.user_id = signalled.user_id

)

select * from joined
