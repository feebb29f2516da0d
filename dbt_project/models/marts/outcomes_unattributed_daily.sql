-- Outcomes that are nobody's: they name no tenant, and their trace or user does not tell one. They are in no
-- other mart.
with by_trace as (

    select * from {{ ref('int_outcomes') }}
    where user_id = ''

),

by_user as (

    select * from {{ ref('int_outcomes_by_user') }}

),

unattributed as (

    select
        by_trace.trace_tenant_count as trace_tenant_count,
        toUInt64(0) as user_tenant_count,
        by_trace.trace_id as trace_id,
        by_trace.event as event,
        by_trace.outcome_value as outcome_value,
        by_trace.happened_at as happened_at
    from by_trace
    where by_trace.tenant_id = ''

    union all

    select
        by_user.trace_tenant_count,
        by_user.user_tenant_count,
        by_user.trace_id,
        by_user.event,
        by_user.outcome_value,
        by_user.happened_at
    from by_user
    where by_user.tenant_id = ''

),

by_day as (

    select
        toDate(happened_at) as day,
        event,
        multiIf(
            trace_tenant_count > 1, 'shared trace',
            user_tenant_count > 1, 'shared user',
            trace_id != '', 'unknown trace',
            'unknown user'
        ) as reason,
        count() as outcome_count,
        sum(unattributed.outcome_value) as outcome_value
    from unattributed
    group by day, event, reason

)

select * from by_day
