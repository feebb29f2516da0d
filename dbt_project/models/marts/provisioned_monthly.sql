-- What each provisioned capacity cost, served and left unused, by month.
with months as (

    select * from {{ ref('int_provisioned_months') }}

),

contracts as (

    select * from {{ ref('stg_provider_contracts') }}

),

described as (

    select
        months.month as month,
        months.contract_id as contract_id,
        months.provider as provider,
        contracts.model as model,
        contracts.tenant_id as tenant_id,
        months.amount_usd as amount_usd,
        months.request_count as request_count,
        months.used_tokens as used_tokens,
        months.capacity_tokens as capacity_tokens,
        toFloat64(months.used_tokens) / nullIf(toFloat64(months.capacity_tokens), 0) as utilisation,
        months.used_usd as used_usd,
        months.unused_usd as unused_usd,
        months.list_usd as list_usd,
        contracts.noted_source as noted_source
    from months
    inner join contracts on months.contract_id = contracts.contract_id

)

select * from described
