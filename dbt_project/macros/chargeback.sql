{#- Spend that tenants share in proportion to their own, and the tenant under which each kind is recorded. -#}
{%- macro shared_costs() -%}
{{ return({'judge': 'assay', 'untagged': 'default'}) }}
{%- endmacro -%}

{#- What each tenant is charged for a month of its own time zone: its own spend and its share of what nobody's key paid -#}
{#- for. Shares follow the tenants' own spend, in whole pico-dollars: what rounding down leaves over goes, a pico-dollar -#}
{#- each, to those who lost most by it. So the month's totals add up to its spend, to the last digit. -#}
{%- macro chargeback(spend, tenants) -%}
{%- set pools = shared_costs() %}
with spend as (

    select * from {{ spend }}

),

tenants as (

    select
        *,
        time_zone in (select zones.time_zone from system.time_zones as zones) as has_time_zone
    from {{ tenants }}

),

by_month as (

    select
        -- A tenant without an entry, or with a zone that does not exist, has its months in UTC.
        if(tenants.has_time_zone, toString(tenants.time_zone), 'UTC') as zone,
        toDate(formatDateTime(spend.period_start, '%Y-%m-01', zone)) as month,
        spend.tenant_id as tenant_id,
        any(if(tenants.tenant_id = '', toString(spend.tenant_id), tenants.tenant_name)) as tenant_name,
        any(tenants.cost_centre) as cost_centre,
        any(tenants.tier) as tier,
        sum(spend.request_count) as requests,
        sumIf(spend.request_count, not spend.is_priced) as unpriced_requests,
        sumIf(spend.request_count, spend.is_priced) as priced_requests,
        if(priced_requests > 0, sum(spend.cost_usd), null) as direct
    from spend
    left join tenants on spend.tenant_id = tenants.tenant_id
    group by month, zone, tenant_id
    having requests > 0

),

weighed as (

    select
        *,
        toInt256(ifNull(direct, toDecimal128(0, 12)) * toDecimal128('1000000000000', 0)) as direct_pico,
        tenant_id in ({% for tenant in pools.values() %}'{{ tenant }}'{% if not loop.last %}, {% endif %}{% endfor %})
            as is_shared,
        if(is_shared, toInt256(0), direct_pico) as weight,
        sum(weight) over (partition by month) as weights
        {%- for pool, tenant in pools.items() %},
        sum(if(tenant_id = '{{ tenant }}', direct_pico, toInt256(0))) over (partition by month) as {{ pool }}_pool
        {%- endfor %}
    from by_month

),

floored as (

    select
        *
        {%- for pool in pools %},
        if(weights = 0, toInt256(0), intDiv({{ pool }}_pool * weight, weights)) as {{ pool }}_floor,
        if(weights = 0, toInt256(0), ({{ pool }}_pool * weight) % weights) as {{ pool }}_lost
        {%- endfor %}
    from weighed

),

ranked as (

    select
        *
        {%- for pool in pools %},
        if(weights = 0, toInt256(0), {{ pool }}_pool - sum({{ pool }}_floor) over (partition by month)) as {{ pool }}_left,
        row_number() over (partition by month order by {{ pool }}_lost desc, tenant_id asc) as {{ pool }}_rank
        {%- endfor %}
    from floored

),

allocated as (

    select
        *
        {%- for pool, tenant in pools.items() %},
        multiIf(
            -- The pool is given away whole, unless nobody spent anything.
            tenant_id = '{{ tenant }}' and weights > 0, -direct_pico,
            {{ pool }}_floor + if({{ pool }}_rank <= {{ pool }}_left, 1, 0)
        ) as {{ pool }}_pico
        {%- endfor %}
    from ranked

),

finalised as (

    select
        month,
        tenant_id,
        tenant_name,
        cost_centre,
        tier,
        zone as time_zone,
        requests as request_count,
        unpriced_requests as unpriced_count,
        direct as direct_usd,
        {%- for pool in pools %}
        toInt128({{ pool }}_pico) * toDecimal128('0.000000000001', 12) as {{ pool }}_usd,
        {%- endfor %}
        -- Unknown where nothing of the tenant's has a price: not free.
        if(
            isNull(direct),
            null,
            direct{% for pool in pools %} + {{ pool }}_usd{% endfor %}
        ) as total_usd
    from allocated

)

select * from finalised
{%- endmacro -%}
