-- Each credit by month: what was left of it, what it could have paid, what it paid, what remains.
with credits as (

    select *
    from {{ ref('stg_provider_contracts') }}
    where kind = 'credit'

),

uses as (

    select
        contract_id,
        month,
        sum(uses.used_usd) as month_usd
    from {{ ref('int_credit_uses') }} as uses
    group by contract_id, month

),

months as (

    select
        *,
        arrayJoin(arrayMap(
            n -> toStartOfMonth(credits.valid_from) + toIntervalMonth(n),
            range(toUInt32(greatest(0, dateDiff(
                'month',
                credits.valid_from,
                least(credits.valid_before - 1, toDate(now('UTC')))
            ) + 1)))
        )) as month
    from credits
    where valid_from < valid_before

),

running as (

    select
        months.month as month,
        months.contract_id as contract_id,
        months.provider as provider,
        months.model as model,
        months.tenant_id as tenant_id,
        months.valid_from as valid_from,
        months.valid_to as valid_to,
        months.amount_usd as amount_usd,
        uses.month_usd as used_usd,
        sum(uses.month_usd) over (
            partition by months.contract_id
            order by months.month
            rows between unbounded preceding and current row
        ) as used_until,
        months.noted_source as noted_source
    from months
    left join uses on months.contract_id = uses.contract_id and months.month = uses.month

),

finalised as (

    select
        month,
        contract_id,
        provider,
        model,
        tenant_id,
        amount_usd,
        amount_usd - used_until + used_usd as opening_usd,
        used_usd,
        amount_usd - used_until as left_usd,
        valid_to <= month + interval 1 month as is_last_month,
        if(ifNull(is_last_month, false), left_usd, toDecimal128(0, 12)) as expired_usd,
        valid_from,
        valid_to,
        noted_source
    from running

)

select
    month,
    contract_id,
    provider,
    model,
    tenant_id,
    amount_usd,
    opening_usd,
    used_usd,
    left_usd,
    expired_usd,
    valid_from,
    valid_to,
    noted_source
from finalised
