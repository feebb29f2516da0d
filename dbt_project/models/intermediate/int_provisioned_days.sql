-- What provisioned capacity costs by day, used or not. A calendar month's amount is due by its days; the
-- running month stands here whole.
with contracts as (

    select
        *,
        -- Of all units, for a month or an hour.
        {{ pico('toDecimal256(amount_usd, 12) * toDecimal256(units, 12)') }} as due_pico,
        toInt128(floor(toDecimal256(tokens_per_minute, 0) * toDecimal256(units, 12) * 1440)) as day_tokens
    from {{ ref('stg_provider_contracts') }}
    where kind = 'provisioned'

),

days as (

    select
        *,
        toDate(arrayJoin(range(
            toUInt32(valid_from),
            toUInt32(least(valid_before, toStartOfMonth(toDate(now('UTC'))) + interval 1 month))
        ))) as day
    from contracts

),

priced as (

    select
        contract_id,
        provider,
        tenant_id,
        day,
        toStartOfMonth(day) as month,
        toInt256(1) as one_day,
        toInt256(toDayOfMonth(day)) as day_of_month,
        toInt256(toDayOfMonth(toLastDayOfMonth(day))) as days_of_month,
        if(
            per = 'hour',
            due_pico * 24,
            {{ part_of('due_pico', 'one_day', 'day_of_month', 'days_of_month') }}
        ) as day_pico,
        day_tokens as capacity_tokens
    from days

)

select
    contract_id,
    provider,
    tenant_id,
    day,
    month,
    {{ usd('day_pico') }} as amount_usd,
    capacity_tokens
from priced
