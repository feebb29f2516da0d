-- Whose each outcome is: the tenant's whom the sender names, else the only one's who has the trace. Looked up
-- when this is read, so it does not matter whether outcomes or their calls arrived first. Of users:
-- int_outcomes_by_user.
with outcomes as (

    select * from {{ ref('stg_business_outcomes') }}

),

named as (

    select * from outcomes
    where tenant_id != ''

),

-- Told again with its tenant, as by a sender that has learnt to name it, an outcome is still one.
unnamed as (

    select * from outcomes
    where
        tenant_id = ''
        and (trace_id, user_id, event, happened_at) not in (
            select
                named.trace_id,
                named.user_id,
                named.event,
                named.happened_at
            from named
        )

),

-- Billed or not: a tenant that has any part of a trace may be the one that is meant.
owners as (

    select
        trace_id,
        any(calls.tenant_id) as owner_id,
        uniqExact(calls.tenant_id) as owner_count
    from {{ ref('stg_llm_traces') }} as calls
    where trace_id != '' and trace_id in (select unnamed.trace_id from unnamed)
    group by trace_id

),

attributed as (

    select
        toString(named.tenant_id) as tenant_id,
        'sender' as tenant_source,
        toUInt64(0) as trace_tenant_count,
        named.trace_id as trace_id,
        named.user_id as user_id,
        named.event as event,
        named.outcome_value as outcome_value,
        named.happened_at as happened_at
    from named

    union all

    select
        if(owners.owner_count = 1, toString(owners.owner_id), '') as tenant_id,
        if(owners.owner_count = 1, 'trace', '') as tenant_source,
        owners.owner_count,
        unnamed.trace_id,
        unnamed.user_id,
        unnamed.event,
        unnamed.outcome_value,
        unnamed.happened_at
    from unnamed
    left join owners on unnamed.trace_id = owners.trace_id

)

select * from attributed
