-- Outcomes that name an end user, with the tenant whose user it is: where neither sender nor trace says
-- so, the only one who has the user.
with outcomes as (

    select
        *,
        -- Where several tenants have the trace, it is one of theirs, whoever else has the user.
        tenant_id = '' and trace_tenant_count = 0 as goes_by_user
    from {{ ref('int_outcomes') }}
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
            where outcomes.goes_by_user
        )
    group by user_id

),

attributed as (

    select
        multiIf(
            not outcomes.goes_by_user, outcomes.tenant_id,
            owners.owner_count = 1, toString(owners.owner_id),
            ''
        ) as tenant_id,
        if(outcomes.goes_by_user and owners.owner_count = 1, 'user', outcomes.tenant_source) as tenant_source,
        outcomes.trace_tenant_count as trace_tenant_count,
        if(outcomes.goes_by_user, owners.owner_count, 0) as user_tenant_count,
        outcomes.trace_id as trace_id,
        outcomes.user_id as user_id,
        outcomes.event as event,
        outcomes.outcome_value as outcome_value,
        outcomes.happened_at as happened_at
    from outcomes
    left join owners on outcomes.user_id = owners.user_id

)

select * from attributed
