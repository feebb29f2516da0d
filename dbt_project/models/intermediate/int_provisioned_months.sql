-- A capacity's month: how much of it was used, and what the rest cost. Where it is not known how much the
-- capacity is, the calls bear all of it, unless there were none.
with days as (

    select * from {{ ref('int_provisioned_days') }}

),

served as (

    select
        contract_id,
        month,
        sum(served.request_count) as requests,
        sum(served.counted_tokens) as tokens,
        -- What the calls would have cost by the token; NULL where one of them has no such price.
        {{ sum_if_all_known('served.cost_usd', 'true') }} as list_usd
    from {{ ref('int_spend_served') }} as served
    where contract_id != ''
    group by contract_id, month

),

due as (

    select
        contract_id,
        provider,
        tenant_id,
        month,
        sum(days.amount_usd) as due_usd,
        {{ pico('due_usd') }} as due_pico,
        {{ sum_if_all_known('days.capacity_tokens', 'true') }} as capacity
    from days
    group by contract_id, provider, tenant_id, month

),

compared as (

    select
        due.contract_id as contract_id,
        due.provider as provider,
        due.tenant_id as tenant_id,
        due.month as month,
        due.due_usd as amount_usd,
        served.requests as request_count,
        served.tokens as used_tokens,
        due.capacity as capacity_tokens,
        -- Whole millionths of tokens: the contract's weights have no more places.
        toInt256(used_tokens * 1000000) as used_micro,
        toInt256(capacity_tokens) * 1000000 as capacity_micro,
        multiIf(
            used_micro = 0, toInt256(0),
            isNull(capacity_micro) or used_micro >= capacity_micro, due.due_pico,
            intDiv(due.due_pico * used_micro, assumeNotNull(capacity_micro))
        ) as used_pico,
        served.requests = 0 as is_idle,
        if(is_idle, null, served.list_usd) as list_usd
    from due
    left join served on due.contract_id = served.contract_id and due.month = served.month

)

select
    contract_id,
    provider,
    tenant_id,
    month,
    amount_usd,
    request_count,
    used_tokens,
    toInt128(capacity_tokens) as capacity_tokens,
    {{ usd('used_pico') }} as used_usd,
    amount_usd - used_usd as unused_usd,
    list_usd
from compared
