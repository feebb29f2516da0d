{#- Spend by day, and what it is billed by: the token, or capacity at a fixed amount. -#}
{%- macro spend_served(spend, tenants, contracts) -%}
with spend as (

    select * from {{ spend }}

),

tenants as (

    select
        tenant_id,
        {{ zone_of('time_zone') }} as zone
    from {{ tenants }}

),

-- The tenant's own before what is shared, names before patterns, long patterns before short ones.
capacities as (

    {{ contract_list(
        contracts,
        'provisioned',
        "tenant_id = '', match(model, '[*?]'), length(model) desc, valid_from, contract_id"
    ) }}

),

by_day as (

    select
        toDate(spend.period_start) as day,
        toStartOfMonth(spend.period_start) as month,
        -- A day may be of two months where a zone's midnight is within it.
        if(tenants.zone = '', 'UTC', tenants.zone) as time_zone,
        toDate(formatDateTime(spend.period_start, '%Y-%m-01', time_zone)) as tenant_month,
        spend.tenant_id as tenant_id,
        {{ provider_name('spend.provider') }} as provider,
        spend.model as model,
        spend.response_model as response_model,
        spend.pricing_tier as pricing_tier,
        spend.is_priced as is_priced,
        sum(spend.request_count) as requests,
        sum(spend.cost_usd) as cost
        {%- for _, column in token_classes() %},
        sum(spend.{{ column }}) as sum_{{ column }}
        {%- endfor %}
    from spend
    left join tenants on spend.tenant_id = tenants.tenant_id
    group by
        day,
        month,
        time_zone,
        tenant_month,
        tenant_id,
        provider,
        model,
        response_model,
        pricing_tier,
        is_priced
    having requests > 0

),

served as (

    select
        day,
        month,
        tenant_month,
        tenant_id,
        provider,
        model,
        response_model,
        pricing_tier,
        is_priced,
        {{ first_contract('(select capacities.list from capacities)') }} as contract,
        contract.1 as contract_id,
        -- A call of a capacity that no contract names is not billed by the token: what it cost is not known.
        contract_id = '' and pricing_tier != 'provisioned' as is_metered,
        requests as request_count,
        cost as cost_usd
        {%- for _, column in token_classes() %},
        sum_{{ column }} as {{ column }}
        {%- endfor %},
        if(contract_id = '', toDecimal128(0, 6), {{ counted_tokens('contract') }}) as counted_tokens
    from by_day

)

select * except (contract)
from served
{%- endmacro -%}
