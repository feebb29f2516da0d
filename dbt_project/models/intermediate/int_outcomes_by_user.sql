-- Outcomes that name an end user, each of the tenant's whose user it is: where neither the sender nor the trace says so, of
-- the only one's who has the user.
with outcomes as (

    select * from {{ ref('int_outcomes') }}
    where user_id != ''

),

owners as (

    select
        user_id,
        any(calls.tenant_id) as owner_id,
        uniqExact(calls.tenant_id) as owner_count
    from {{ ref('stg_llm_traces') }} as calls
    where
        user_id in (
            select outcomes.user_id
            from outcomes
            where outcomes.tenant_id = '' and outcomes.trace_tenant_count = 0
        )
    group by user_id

),

attributed as (

    select
        -- Where several tenants have the trace, it is one of theirs, whoever else has the user.
        outcomes.tenant_id = ''
        and outcomes.trace_tenant_count = 0
        and owners.owner_count = 1 as is_by_user,
        if(is_by_user, toString(owners.owner_id), outcomes.tenant_id) as tenant_id,
        if(is_by_user, 'user', outcomes.tenant_source) as tenant_source,
        outcomes.trace_tenant_count as trace_tenant_count,
        if(outcomes.tenant_id = '' and outcomes.trace_tenant_count = 0, owners.owner_count, 0) as user_tenant_count,
        outcomes.trace_id as trace_id,
        outcomes.user_id as user_id,
        outcomes.event as event,
        outcomes.outcome_value as outcome_value,
        outcomes.happened_at as happened_at
    from outcomes
    left join owners on outcomes.user_id = owners.user_id

)

select * except is_by_user from attributed
