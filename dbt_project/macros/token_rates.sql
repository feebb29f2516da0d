{#- What a token of each class cost in a month, from the calls themselves. Cost is a sum of tokens times rates, so the -#}
{#- rates solve its normal equations: exactly, where one price held all month. Where none did (the price changed, or -#}
{#- depends on the length of the prompt), a residual is left, and the rates are not known. -#}
{%- macro token_rates(spend) -%}
{%- set classes = token_classes() | map('first') | list %}
{%- set key = 'month, tenant_id, provider, model, response_model, pricing_tier' %}
with spend as (

    select
        *,
        -- Each row once for its tenant, whose prices may be its own, and once for all tenants together.
        arrayJoin(['', toString(tenant_id)]) as rates_of
    from {{ spend }}
    where is_priced

),

observed as (

    select
        toStartOfMonth(period_start) as month,
        rates_of,
        provider,
        model,
        response_model,
        pricing_tier,
        toFloat64(sum(spend.cost_usd)) as cost
        {%- for class, column in token_classes() %},
        toFloat64(sum(spend.{{ column }})) as {{ class }}
        {%- endfor %}
    from spend
    group by month, rates_of, provider, model, response_model, pricing_tier, spend.tenant_id, spend.period_start
    having sum(spend.request_count) > 0

),

equations_0 as (

    select
        month,
        rates_of as tenant_id,
        provider,
        model,
        response_model,
        pricing_tier,
        count() as observations,
        true as is_solvable,
        sum(observed.cost * observed.cost) as squares
        {%- for row in classes %},
        sum(observed.{{ row }} * observed.{{ row }}) as used_{{ row }},
        sum(observed.{{ row }} * observed.cost) as b_{{ row }}
        {%- for column in classes %},
        -- A class that nobody used has no rate: its equation is 1 × rate = 0.
        sum(observed.{{ row }} * observed.{{ column }}){% if row == column %} + (used_{{ row }} = 0){% endif %} as a_{{ row }}_{{ column }}
        {%- endfor %}
        {%- endfor %}
    from observed
    group by {{ key }}

),
{%- for pivot in classes %}
{%- set equations = 'equations_%d' % loop.index0 %}

-- Gauss-Jordan: {{ pivot }} leaves every equation but its own. Symmetric and positive definite, so no row is swapped.
equations_{{ loop.index }} as (

    select
        {{ key }},
        observations,
        squares,
        -- What is left of a class that the others explain wholly is noise.
        {{ equations }}.is_solvable
        and (used_{{ pivot }} = 0 or a_{{ pivot }}_{{ pivot }} > 1e-8 * used_{{ pivot }}) as is_solvable
        {%- for row in classes %},
        used_{{ row }},
        {%- if row == pivot %}
        b_{{ row }}
        {%- else %}
        {{ equations }}.b_{{ row }} - {{ equations }}.a_{{ row }}_{{ pivot }} * {{ equations }}.b_{{ pivot }}
        / {{ equations }}.a_{{ pivot }}_{{ pivot }} as b_{{ row }}
        {%- endif %}
        {%- for column in classes %},
        {%- if row == pivot %}
        a_{{ row }}_{{ column }}
        {%- else %}
        {{ equations }}.a_{{ row }}_{{ column }} - {{ equations }}.a_{{ row }}_{{ pivot }}
        * {{ equations }}.a_{{ pivot }}_{{ column }} / {{ equations }}.a_{{ pivot }}_{{ pivot }} as a_{{ row }}_{{ column }}
        {%- endif %}
        {%- endfor %}
        {%- endfor %}
    from {{ equations }}

),
{%- endfor %}

solved as (

    select
        {{ key }},
        observations,
        is_solvable
        {%- for class in classes %},
        -- To the pico-dollar: finer than that no price is stored.
        if(used_{{ class }} > 0 and is_solvable, round(1e12 * b_{{ class }} / a_{{ class }}_{{ class }}), null) as {{ class }}_pico
        {%- endfor %}
    from equations_{{ classes | length }}

),

-- Judged by what they say of every quarter hour, not by the equations that they come from.
residuals as (

    select
        {{ key }},
        max(abs(
            observed.cost
            - 1e-12 * (
                {%- for class in classes %}
                observed.{{ class }} * ifNull(solved.{{ class }}_pico, 0){% if not loop.last %} +{% endif %}
                {%- endfor %}
            )
        ) / greatest(observed.cost, 1e-9)) as worst
    from observed
    inner join solved
        on
            observed.rates_of = solved.tenant_id
            {%- for name in ['month', 'provider', 'model', 'response_model', 'pricing_tier'] %}
            and observed.{{ name }} = solved.{{ name }}
            {%- endfor %}
    group by {{ key }}

)

select
    {{ key }},
    solved.observations as observations,
    solved.is_solvable and residuals.worst < 1e-4 as is_exact
    {%- for class in classes %},
    if(
        is_exact and isNotNull(solved.{{ class }}_pico),
        toInt64(ifNull(solved.{{ class }}_pico, 0)) * toDecimal128('0.000000000001', 12),
        null
    ) as {{ class }}_usd
    {%- endfor %}
from solved
inner join residuals using ({{ key }})
{%- endmacro -%}

{#- Spend by day with the rates at which its tokens were charged, and what it would have cost as a provider that gets a -#}
{#- class of tokens wrong bills it. -#}
{%- macro spend_with_rates(spend, token_rates) -%}
with spend as (

    -- The months of a tenant's zone are of no account here.
    select
        day,
        month,
        tenant_id,
        provider,
        model,
        response_model,
        pricing_tier,
        contract_id,
        is_metered,
        is_priced,
        sum(served.request_count) as request_count,
        sum(served.cost_usd) as cost_usd
        {%- for _, column in token_classes() %},
        sum(served.{{ column }}) as {{ column }}
        {%- endfor %}
    from {{ spend }} as served
    group by
        day, month, tenant_id, provider, model, response_model, pricing_tier, contract_id, is_metered, is_priced

),

-- Every exact set of rates of a model's month, by tier and tenant: one look-up a row instead of a join for each.
rates as (

    select
        month,
        provider,
        model,
        response_model,
        mapFromArrays(
            groupArray(concat(pricing_tier, '/', exact.tenant_id)),
            groupArray(tuple(
                {%- for class, _ in token_classes() %}
                exact.{{ class }}_usd{% if not loop.last %},{% endif %}
                {%- endfor %}
            ))
        ) as found
    from {{ token_rates }} as exact
    where is_exact
    group by month, provider, model, response_model

),

rated as (

    select
        spend.day as day,
        spend.month as month,
        spend.tenant_id as tenant_id,
        spend.provider as provider,
        spend.model as model,
        spend.response_model as response_model,
        spend.pricing_tier as pricing_tier,
        spend.contract_id as contract_id,
        spend.is_metered as is_metered,
        spend.is_priced as is_priced,
        spend.request_count as request_count,
        spend.cost_usd as cost_usd
        {%- for _, column in token_classes() %},
        spend.{{ column }} as {{ column }}
        {%- endfor %}
        {%- for prefix, tier in [('', 'spend.pricing_tier'), ('standard_', "'standard'")] %}
        {%- for class, _ in token_classes() %},
        -- One price for all tenants where that explains every call, else the tenant's own.
        coalesce(
            tupleElement(rates.found[concat({{ tier }}, '/')], {{ loop.index }}),
            tupleElement(rates.found[concat({{ tier }}, '/', spend.tenant_id)], {{ loop.index }})
        ) as {{ prefix }}{{ class }}_usd
        {%- endfor %}
        {%- endfor %}
    from spend
    left join rates
        on
            spend.month = rates.month
            and spend.provider = rates.provider
            and spend.model = rates.model
            and spend.response_model = rates.response_model

)

select * from rated
{%- endmacro -%}
