{#- What a token of each class cost in a month, from the calls themselves. Cost is a sum of tokens times rates, so the -#}
{#- rates solve its normal equations: exactly, where one price held all month. Where none did (the price changed, or -#}
{#- depends on the length of the prompt), a residual is left, and the rates are not known. -#}
{%- macro token_rates(spend) -%}
{%- set classes = token_classes() | map('first') | list %}
{%- set size = classes | length %}
{%- set key = 'month, tenant_id, provider, model, response_model, pricing_tier' %}
{#- Each for the tenant, whose prices may be its own, and for all tenants together. -#}
{%- set whose = {'own': 'toString(tenant_id)', 'common': "''"} %}
with spend as (

    select
        * except (provider),
        {{ provider_name('provider') }} as provider
    from {{ spend }}
    where is_priced

),

-- Parts of a quarter hour that are not merged yet are added up: a correction's alone says nothing about rates.
-- One number in the place of six names groups two and a half times as fast.
observed as (

    select
        any(toStartOfMonth(period_start)) as month,
        any(spend.tenant_id) as tenant_id,
        any(spend.provider) as provider,
        any(spend.model) as model,
        any(spend.response_model) as response_model,
        any(spend.pricing_tier) as pricing_tier,
        toFloat64(ifNull(sum(spend.cost_usd), 0)) as cost
        {%- for class, column in token_classes() %},
        toFloat64(sum(spend.{{ column }})) as {{ class }}
        {%- endfor %}
    from spend
    group by
        sipHash128(
            spend.tenant_id,
            spend.provider,
            spend.model,
            spend.response_model,
            spend.pricing_tier,
            spend.period_start
        )
    having sum(spend.request_count) > 0

),

series as (

    select
        {{ key }},
        count() as quarter_hours,
        groupArray(observed.cost) as cost
        {%- for class in classes %},
        groupArray(observed.{{ class }}) as {{ class }}
        {%- endfor %}
    from observed
    group by {{ key }}

),

-- The equations of several tenants are the sum of theirs. As one array, row by row: a row for each class, in it
-- what its tokens have in common with those of each class and with the cost.
equations as (

    select
        *,
        [
            {%- for row in classes %}
            {%- for column in classes + ['cost'] %}
            arrayDotProduct({{ row }}, {{ column }}){% if not (loop.last and row == classes[-1]) %},{% endif %}
            {%- endfor %}
            {%- endfor %}
        ] as own,
        sumForEach(own) over (partition by month, provider, model, response_model, pricing_tier) as common
    from series

),

-- Gauss-Jordan, a class at a time: it leaves every equation but its own. Symmetric and positive definite, so no
-- row is swapped. A class that nobody used has no rate: its equation is 1 × rate = 0.
solved as (

    select
        *
        {%- for system in whose %},
        arrayMap(row -> {{ system }}[row * {{ size + 2 }} + 1], range({{ size }})) as {{ system }}_used,
        arrayFold(
            (state, pivot) -> (
                arrayMap(
                    (row, i) -> if(
                        i = pivot,
                        arrayMap(x -> x / row[pivot], row),
                        arrayMap((x, p) -> x - row[pivot] * p / state.1[pivot][pivot], row, state.1[pivot])
                    ),
                    state.1,
                    arrayEnumerate(state.1)
                ),
                -- What is left of a class that the others explain wholly is noise.
                state.2
                and ({{ system }}_used[pivot] = 0 or state.1[pivot][pivot] > 1e-8 * {{ system }}_used[pivot])
            ),
            range(1, {{ size + 1 }}),
            (
                arrayMap(
                    row -> arrayMap(
                        (x, column) -> x + (column = row + 1 and {{ system }}_used[column] = 0),
                        arraySlice({{ system }}, row * {{ size + 1 }} + 1, {{ size + 1 }}),
                        range(1, {{ size + 2 }})
                    ),
                    range({{ size }})
                ),
                true
            )
        ) as {{ system }}_solution,
        -- To the pico-dollar: finer than that no price is stored.
        arrayMap(row -> round(1e12 * row[{{ size + 1 }}]), {{ system }}_solution.1) as {{ system }}_pico
        {%- endfor %}
    from equations

),

-- Judged by what they say of every quarter hour, not by the equations that they come from.
judged as (

    select
        {{ key }},
        quarter_hours,
        [
            {%- for system, tenant in whose.items() %}
            (
                {{ tenant }},
                {{ system }}_solution.2,
                {{ system }}_used,
                {{ system }}_pico,
                arrayMax(arrayMap(
                    (paid, {{ classes | join(', ') }}) -> abs(
                        paid
                        - 1e-12 * (
                            {%- for class in classes %}
                            {{ class }} * {{ system }}_pico[{{ loop.index }}]{% if not loop.last %} +{% endif %}
                            {%- endfor %}
                        )
                    ) / greatest(paid, 1e-9),
                    cost, {{ classes | join(', ') }}
                ))
            ){% if not loop.last %},{% endif %}
            {%- endfor %}
        ] as found
    from solved

),

together as (

    select
        month,
        rates.1 as rates_of,
        provider,
        model,
        response_model,
        pricing_tier,
        sum(quarter_hours) as observed_quarter_hours,
        min(rates.2) and max(rates.5) < 1e-4 as is_known,
        any(rates.3) as used,
        any(rates.4) as pico
    from judged
    array join found as rates
    group by month, rates_of, provider, model, response_model, pricing_tier

)

select
    month,
    rates_of as tenant_id,
    provider,
    model,
    response_model,
    pricing_tier,
    observed_quarter_hours as observations,
    toBool(is_known) as is_exact
    {%- for class in classes %},
    if(
        is_exact and used[{{ loop.index }}] > 0,
        toInt64(if(is_exact, pico[{{ loop.index }}], 0)) * toDecimal128('0.000000000001', 12),
        null
    ) as {{ class }}_usd
    {%- endfor %}
from together
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
