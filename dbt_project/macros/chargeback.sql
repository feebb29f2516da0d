{#- Spend that tenants share in proportion to their own, and the tenant under which each kind is recorded. -#}
{%- macro shared_costs() -%}
{{ return({'judge': 'assay', 'untagged': 'default'}) }}
{%- endmacro -%}

{#- Under which unused capacity stands that no tenant ordered for itself: nobody is charged for it. -#}
{%- macro unused_capacity() -%}
unused capacity
{%- endmacro -%}

{#- Amounts that are shared out: by name, the tenant that gives them away and the amount. Its credits go with a cost. -#}
{%- macro shared_amounts() -%}
{%- set found = [] -%}
{%- for pool, tenant in shared_costs().items() -%}
{%- do found.append((pool, tenant, 'own_pico')) -%}
{%- do found.append((pool ~ '_credit', tenant, 'credit_pico')) -%}
{%- endfor -%}
{{ return(found) }}
{%- endmacro -%}

{#- What each tenant is charged for a month of its own time zone: its own spend and its share of what nobody's key paid -#}
{#- for. Shares follow the tenants' own spend, in whole pico-dollars: what rounding down leaves over goes, a pico-dollar -#}
{#- each, to those who lost most by it. So the month's totals add up to its spend, to the last digit. -#}
{%- macro chargeback(spend, provisioned_usage, provisioned_months, credit_uses, tenants, exchange_rates) -%}
{%- set pools = shared_costs() %}
{%- set amounts = shared_amounts() %}
with spend as (

    select * from {{ spend }}

),

-- Everything that a tenant's month is made of, in the same columns.
parts as (

    select
        tenant_month as month,
        toString(spend.tenant_id) as tenant_id,
        spend.request_count as requests,
        -- Of a capacity that no contract names the price is not known either.
        if(contract_id = '' and not (is_metered and is_priced), spend.request_count, 0) as unpriced_requests,
        if(is_metered and is_priced, spend.request_count, 0) as priced_requests,
        if(is_metered, ifNull(spend.cost_usd, toDecimal128(0, 12)), toDecimal128(0, 12)) as direct,
        toDecimal128(0, 12) as provisioned,
        toDecimal128(0, 12) as unused,
        toDecimal128(0, 12) as credit
    from spend

    union all

    select
        tenant_month,
        toString(usage.tenant_id),
        0,
        0,
        0,
        toDecimal128(0, 12),
        usage.effective_usd,
        toDecimal128(0, 12),
        toDecimal128(0, 12)
    from {{ provisioned_usage }} as usage

    union all

    select
        months.month,
        if(months.tenant_id = '', '{{ unused_capacity() }}', months.tenant_id),
        0,
        0,
        0,
        toDecimal128(0, 12),
        toDecimal128(0, 12),
        months.unused_usd,
        toDecimal128(0, 12)
    from {{ provisioned_months }} as months
    where months.unused_usd > 0

    union all

    select
        tenant_month,
        toString(uses.tenant_id),
        0,
        0,
        0,
        toDecimal128(0, 12),
        toDecimal128(0, 12),
        toDecimal128(0, 12),
        -uses.used_usd
    from {{ credit_uses }} as uses

),

by_month as (

    select
        month,
        tenant_id,
        sum(parts.requests) as request_count,
        sum(parts.unpriced_requests) as unpriced_count,
        -- Unknown where calls are billed by the token and none of them has a price: not free.
        if(unpriced_count > 0 and sum(parts.priced_requests) = 0, null, sum(parts.direct)) as direct_usd,
        sum(parts.provisioned) as provisioned_usd,
        sum(parts.unused) as unused_usd,
        {{ pico('sum(parts.direct) + sum(parts.provisioned) + sum(parts.unused)') }} as own_pico,
        {{ pico('sum(parts.credit)') }} as credit_pico
    from parts
    group by month, tenant_id

),

weighed as (

    select
        *,
        tenant_id in (
            {%- for tenant in pools.values() %}'{{ tenant }}', {% endfor %}'{{ unused_capacity() }}'
        ) as is_shared,
        if(is_shared, toInt256(0), own_pico) as weight,
        sum(weight) over (partition by month) as weights
        {%- for name, tenant, amount in amounts %},
        sum(if(tenant_id = '{{ tenant }}', {{ amount }}, toInt256(0))) over (partition by month) as {{ name }}_pool
        {%- endfor %}
    from by_month

),

floored as (

    select
        *
        {%- for name, _, _ in amounts %},
        -- A credit's pool is below zero: shares are of its size.
        if(weights = 0, toInt256(0), intDiv(abs({{ name }}_pool) * weight, weights)) as {{ name }}_floor,
        if(weights = 0, toInt256(0), (abs({{ name }}_pool) * weight) % weights) as {{ name }}_lost
        {%- endfor %}
    from weighed

),

ranked as (

    select
        *
        {%- for name, _, _ in amounts %},
        if(weights = 0, toInt256(0), abs({{ name }}_pool) - sum({{ name }}_floor) over (partition by month))
            as {{ name }}_left,
        row_number() over (partition by month order by {{ name }}_lost desc, tenant_id asc) as {{ name }}_rank
        {%- endfor %}
    from floored

),

allocated as (

    select
        *
        {%- for name, tenant, amount in amounts %},
        multiIf(
            -- The pool is given away whole, unless nobody spent anything.
            tenant_id = '{{ tenant }}' and weights > 0, -{{ amount }},
            sign({{ name }}_pool) * ({{ name }}_floor + if({{ name }}_rank <= {{ name }}_left, 1, 0))
        ) as {{ name }}_pico
        {%- endfor %}
    from ranked

),

tenants as (

    select
        *,
        {{ zone_of('tenants.time_zone') }} as zone
    from {{ tenants }} as tenants

),

charged as (

    select
        allocated.*,
        if(tenants.tenant_id = '', allocated.tenant_id, tenants.tenant_name) as tenant_name,
        cast(tenants.cost_centre as String) as cost_centre,
        cast(tenants.tier as String) as tier,
        if(tenants.zone = '', 'UTC', tenants.zone) as time_zone,
        {%- for pool in pools %}
        {{ usd(pool ~ '_pico') }} as {{ pool }}_usd,
        {%- endfor %}
        if(
            isNull(direct_usd) and provisioned_usd = 0 and unused_usd = 0,
            null,
            {{ usd('own_pico') }}{% for pool in pools %} + {{ pool }}_usd{% endfor %}
        ) as total_usd,
        {{ usd('credit_pico') }}{% for pool in pools %} + {{ usd(pool ~ '_credit_pico') }}{% endfor %} as credit_usd,
        {{ currency_of('tenants.currency') }} as currency
    from allocated
    left join tenants on allocated.tenant_id = tenants.tenant_id

),

finalised as (

    select
        charged.month as month,
        charged.tenant_id as tenant_id,
        charged.tenant_name as tenant_name,
        charged.cost_centre as cost_centre,
        charged.tier as tier,
        charged.time_zone as time_zone,
        charged.request_count as request_count,
        charged.unpriced_count as unpriced_count,
        charged.direct_usd as direct_usd,
        charged.provisioned_usd as provisioned_usd,
        charged.unused_usd as unused_usd,
        {%- for pool in pools %}
        charged.{{ pool }}_usd as {{ pool }}_usd,
        {%- endfor %}
        charged.total_usd as total_usd,
        charged.credit_usd as credit_usd,
        charged.total_usd + charged.credit_usd as net_usd,
        charged.currency as reporting_currency,
        {{ rate_of('reporting_currency', 'rates') }} as exchange_rate,
        {{ rate_day_of('reporting_currency', 'rates') }} as exchange_rate_day,
        {{ in_currency('charged.total_usd', 'exchange_rate') }} as total_reporting,
        {{ in_currency('charged.credit_usd', 'exchange_rate') }} as credit_reporting,
        {{ in_currency('net_usd', 'exchange_rate') }} as net_reporting
    from charged
    left join {{ exchange_rates }} as rates on charged.currency = rates.currency and charged.month = rates.month

)

select * from finalised
{%- endmacro -%}
