{#- How the classes of tokens are metered, in FOCUS's words. -#}
{%- macro meters() -%}
{{ return([
    ('input', 'uncached_tokens', 'Input Tokens'),
    ('cache_read', 'cache_read_tokens', 'Cached Input Tokens'),
    ('cache_write_5m', 'cache_write_5m_tokens', 'Cache Write Tokens'),
    ('cache_write_1h', 'cache_write_1h_tokens', 'Cache Write Tokens (1 hour)'),
]) }}
{%- endmacro -%}

{#- Usage that is billed by the token, by class of tokens. Where the rates are known, each class costs its tokens times its -#}
{#- rate, and output what is left, so that the rows of a day add up to its cost. Where they are not, one row has it all. -#}
{#- Only what has a price is a charge: FOCUS knows no unknown cost. List cost is by the price list, and not known where the -#}
{#- list has no price, or where one row has it all: it may be for something else than tokens. -#}
{%- macro focus_metered(spend) -%}
select
    day as first_day,
    day + 1 as end_day,
    month,
    toString(provider) as provider,
    toString(model) as model,
    toString(pricing_tier) as pricing_tier,
    toString(tenant_id) as tenant_id,
    'Usage' as category,
    assumeNotNull(item.4) as billed,
    toNullable(billed) as contracted,
    item.6 as listed,
    billed as effective,
    toNullable(toDecimal128(item.2, 12)) as quantity,
    item.3 as unit_price,
    item.5 as list_unit_price,
    'Tokens' as unit,
    item.1 as meter,
    '' as contract_id,
    '' as status,
    cast(null as Nullable(Decimal(38, 12))) as committed,
    '' as committed_unit
from (

    select
        *,
        isNotNull(prompt_cost) and (completion_tokens = 0 or isNotNull(output_usd)) and prompt_cost <= cost_usd
            as is_itemised,
        arrayJoin(
            if(
                is_itemised,
                arrayFilter(
                    item -> item.2 > 0,
                    [
                        {%- for class, column, meter in meters() %}
                        (
                            '{{ meter }}',
                            {{ column }},
                            {{ class }}_usd,
                            {{ class }}_cost,
                            {{ class }}_list_usd,
                            {{ column }} * {{ class }}_list_usd
                        ),
                        {%- endfor %}
                        (
                            'Output Tokens',
                            -- Where nothing was answered, a rest of rounding still has its row.
                            if(cost_usd != prompt_cost, greatest(completion_tokens, 1), completion_tokens),
                            output_usd,
                            cost_usd - prompt_cost,
                            if(completion_tokens = 0, null, output_list_usd),
                            -- Where it was charged by the list, so is what rounding left.
                            multiIf(
                                completion_tokens = 0, null,
                                output_usd = output_list_usd, cost_usd - prompt_cost,
                                completion_tokens * output_list_usd
                            )
                        )
                    ]
                ),
                [(
                    'Tokens',
                    {{ all_tokens() }},
                    cast(null as Nullable(Decimal(38, 12))),
                    toNullable(cost_usd),
                    cast(null as Nullable(Decimal(38, 12))),
                    cast(null as Nullable(Decimal(38, 12)))
                )]
            )
        ) as item
    from (

        -- A step of its own: names within one select are written out wherever they stand, again and again.
        select
            spend.*,
            {%- for class, column, _ in meters() %}
            {{ tokens_at(column, class ~ '_usd') }} as {{ class }}_cost,
            {%- endfor %}
            {%- for class, column, _ in meters() %}
            {{ class }}_cost{% if not loop.last %} + {% endif %}
            {%- endfor %} as prompt_cost,
            {%- for class, _, _ in meters() %}
            {{ listed_at(class, class ~ '_usd') }} as {{ class }}_list_usd,
            {%- endfor %}
            {{ listed_output_at('output_usd') }} as output_list_usd
        from {{ spend }} as spend
        left join list_rates
            on
                spend.provider = list_rates.provider
                and spend.model = list_rates.model
                and spend.response_model = list_rates.response_model
                and spend.pricing_tier = list_rates.pricing_tier
        where is_priced and is_metered

    )

)
{%- endmacro -%}

{#- Provisioned capacity: what was bought, the usage that it served, what was left unused. The purchase is what is billed; -#}
{#- the other two bear its cost between them. A commitment is counted in tokens; where nobody said how many the capacity -#}
{#- serves, in months of it. -#}
{%- macro focus_provisioned(usage, months) -%}
select
    day,
    day + 1,
    usage.month,
    toString(usage.provider),
    toString(usage.model),
    toString(usage.pricing_tier),
    toString(usage.tenant_id),
    'Usage',
    toDecimal128(0, 12),
    sum(usage.list_usd),
    {{ sum_if_all_known('usage.by_list_usd', 'true') }},
    sum(usage.effective_usd),
    toNullable(toDecimal128(sum(usage.tokens), 12)),
    cast(null as Nullable(Decimal(38, 12))),
    cast(null as Nullable(Decimal(38, 12))),
    'Tokens',
    'Tokens',
    usage.contract_id,
    'Used',
    toNullable(
        if(
            isNull(months.capacity_tokens),
            {{ share_of_month('sum(usage.effective_usd)', 'months.amount_usd') }},
            toDecimal128(sum(usage.counted_tokens), 12)
        )
    ),
    {{ committed_unit('months.capacity_tokens') }}
from (

    select
        served.*,
        {%- for class, column in token_classes() %}
        {{ tokens_at(column, listed_output_at() if class == 'output' else listed_at(class)) }}
        {%- if not loop.last %} +{% endif %}
        {%- endfor %} as by_list_usd
    from {{ usage }} as served
    left join list_rates
        on
            served.provider = list_rates.provider
            and served.model = list_rates.model
            and served.response_model = list_rates.response_model
            and served.pricing_tier = list_rates.pricing_tier

) as usage
inner join {{ months }} as months on usage.contract_id = months.contract_id and usage.month = months.month
group by
    day,
    usage.month,
    usage.provider,
    usage.model,
    usage.pricing_tier,
    usage.tenant_id,
    usage.contract_id,
    usage.is_priced,
    months.capacity_tokens,
    months.amount_usd

union all

select
    months.month,
    toDate(months.month + interval 1 month),
    months.month,
    months.provider,
    '',
    '',
    months.tenant_id,
    'Purchase',
    months.amount_usd,
    toNullable(months.amount_usd),
    cast(null as Nullable(Decimal(38, 12))),
    toDecimal128(0, 12),
    toNullable(toDecimal128(1, 12)),
    toNullable(months.amount_usd),
    cast(null as Nullable(Decimal(38, 12))),
    'Months',
    'Provisioned Throughput',
    months.contract_id,
    '',
    toNullable(toDecimal128(ifNull(months.capacity_tokens, 1), 12)),
    {{ committed_unit('months.capacity_tokens') }}
from {{ months }} as months

union all

select
    months.month,
    toDate(months.month + interval 1 month),
    months.month,
    months.provider,
    '',
    '',
    months.tenant_id,
    'Usage',
    toDecimal128(0, 12),
    toNullable(toDecimal128(0, 12)),
    toNullable(toDecimal128(0, 12)),
    months.unused_usd,
    toNullable(
        if(
            isNull(months.capacity_tokens),
            {{ share_of_month('months.unused_usd', 'months.amount_usd') }},
            toDecimal128(ifNull(months.capacity_tokens, 0) - months.used_tokens, 12)
        )
    ) as left_over,
    cast(null as Nullable(Decimal(38, 12))),
    cast(null as Nullable(Decimal(38, 12))),
    {{ committed_unit('months.capacity_tokens') }},
    'Unused Capacity',
    months.contract_id,
    'Unused',
    left_over,
    {{ committed_unit('months.capacity_tokens') }}
from {{ months }} as months
where months.unused_usd > 0
{%- endmacro -%}

{%- macro committed_unit(capacity) -%}
if(isNull({{ capacity }}), 'Months', 'Tokens')
{%- endmacro -%}

{#- Half to even at the last of 12 places; nothing of a capacity that costs nothing. -#}
{%- macro share_of_month(part, amount) -%}
if(
    {{ amount }} = 0,
    toDecimal128(0, 12),
    toDecimal128(roundBankers(toDecimal256({{ part }}, 30) / nullIf(toDecimal256({{ amount }}, 12), 0), 12), 12)
)
{%- endmacro -%}

{#- What credits paid: below zero, beside the usage whose cost it leaves as it was. FOCUS has them at list cost, too, by -#}
{#- what is billed: they are a price of nothing. -#}
{%- macro focus_credits(uses) -%}
select
    day,
    day + 1,
    month,
    toString(uses.provider),
    toString(uses.model),
    toString(uses.pricing_tier),
    toString(uses.tenant_id),
    'Credit',
    -sum(uses.used_usd) as paid,
    toNullable(paid),
    toNullable(paid),
    paid,
    cast(null as Nullable(Decimal(38, 12))),
    cast(null as Nullable(Decimal(38, 12))),
    cast(null as Nullable(Decimal(38, 12))),
    '',
    'Credit',
    uses.contract_id,
    '',
    cast(null as Nullable(Decimal(38, 12))),
    ''
from {{ uses }} as uses
group by day, month, uses.provider, uses.model, uses.pricing_tier, uses.tenant_id, uses.contract_id
having sum(uses.used_usd) != 0
{%- endmacro -%}

{#- Charges in the columns of FOCUS 1.2. Billed cost adds up to what the providers ask for, effective cost to the same: -#}
{#- month by month. -#}
{%- macro focus(
    spend, list_prices, provisioned_usage, provisioned_months, credit_uses, contracts, tenants, exchange_rates
) -%}
with list_rates as (

    {{ list_rates(list_prices) }}

),

charges as (

    {{ focus_metered(spend) }}

    union all

    {{ focus_provisioned(provisioned_usage, provisioned_months) }}

    union all

    {{ focus_credits(credit_uses) }}

),

tenants as (

    select
        tenant_id as known_tenant,
        tenant_name,
        cost_centre,
        tier,
        currency
    from {{ tenants }}

),

contracts as (

    select
        contract_id as known_contract,
        noted_source
    from {{ contracts }}

),

rates as (

    select
        currency as known_currency,
        month as known_month,
        exchange_rate,
        exchange_rate_day
    from {{ exchange_rates }}

),

named as (

    select
        charges.*,
        if(charges.provider = '', 'unknown', charges.provider) as billed_by,
        if(tenants.known_tenant = '', charges.tenant_id, tenants.tenant_name) as sub_account,
        tenants.cost_centre,
        tenants.tier,
        contracts.noted_source,
        charges.category in ('Usage', 'Credit') and charges.model != '' as has_resource,
        concat(billed_by, '/', charges.model, '/', charges.pricing_tier) as sku,
        charges.contract_id != '' and charges.category != 'Credit' as has_commitment,
        {{ currency_of('tenants.currency') }} as reporting_currency
    from charges
    left join tenants on charges.tenant_id = tenants.known_tenant
    left join contracts on charges.contract_id = contracts.known_contract

),

reported as (

    select
        named.*,
        {{ rate_of('named.reporting_currency', 'rates') }} as reporting_rate,
        {{ rate_day_of('named.reporting_currency', 'rates') }} as reporting_day
    from named
    left join rates on named.reporting_currency = rates.known_currency and named.month = rates.known_month

)

select
    billed as BilledCost,
    billed_by as BillingAccountId,
    cast(null as Nullable(String)) as BillingAccountName,
    'USD' as BillingCurrency,
    toDateTime(month + interval 1 month, 'UTC') as BillingPeriodEnd,
    toDateTime(month, 'UTC') as BillingPeriodStart,
    category as ChargeCategory,
    cast(null as Nullable(String)) as ChargeClass,
    multiIf(
        category = 'Purchase', concat('Provisioned throughput ', contract_id, ', ', noted_source),
        status = 'Unused', concat('Unused provisioned throughput ', contract_id),
        category = 'Credit', concat('Credit ', contract_id, ' for ', model, ', ', pricing_tier, ' tier'),
        status = 'Used', concat('Tokens of ', model, ' by provisioned throughput ', contract_id),
        concat(meter, ' of ', model, ', ', pricing_tier, ' tier')
    ) as ChargeDescription,
    if(category = 'Purchase', 'Recurring', 'Usage-Based') as ChargeFrequency,
    toDateTime(end_day, 'UTC') as ChargePeriodEnd,
    toDateTime(first_day, 'UTC') as ChargePeriodStart,
    if(has_commitment, 'Usage', null) as CommitmentDiscountCategory,
    if(has_commitment, contract_id, null) as CommitmentDiscountId,
    if(has_commitment, noted_source, null) as CommitmentDiscountName,
    committed as CommitmentDiscountQuantity,
    nullIf(status, '') as CommitmentDiscountStatus,
    if(has_commitment, 'Provisioned Throughput', null) as CommitmentDiscountType,
    nullIf(committed_unit, '') as CommitmentDiscountUnit,
    -- What was not used was not consumed.
    if(category = 'Usage' and status != 'Unused', quantity, null) as ConsumedQuantity,
    if(isNull(ConsumedQuantity), null, 'Tokens') as ConsumedUnit,
    contracted as ContractedCost,
    unit_price as ContractedUnitPrice,
    effective as EffectiveCost,
    billed_by as InvoiceIssuerName,
    listed as ListCost,
    list_unit_price as ListUnitPrice,
    multiIf(category = 'Credit', null, status != '', 'Committed', 'Standard') as PricingCategory,
    quantity as PricingQuantity,
    nullIf(unit, '') as PricingUnit,
    billed_by as ProviderName,
    billed_by as PublisherName,
    cast(null as Nullable(String)) as RegionId,
    cast(null as Nullable(String)) as RegionName,
    if(has_resource, model, null) as ResourceId,
    if(has_resource, model, null) as ResourceName,
    if(has_resource, 'Model', null) as ResourceType,
    'AI and Machine Learning' as ServiceCategory,
    concat(billed_by, ' API') as ServiceName,
    'Generative AI' as ServiceSubcategory,
    multiIf(category = 'Credit', null, has_resource, sku, concat(billed_by, '/', contract_id)) as SkuId,
    if(category = 'Credit', null, meter) as SkuMeter,
    if(isNull(SkuId), null, concat(SkuId, '/', meter)) as SkuPriceId,
    nullIf(tenant_id, '') as SubAccountId,
    nullIf(sub_account, '') as SubAccountName,
    toJSONString(map('cost_centre', cost_centre, 'tier', tier)) as Tags,
    {{ in_currency('BilledCost', 'reporting_rate') }} as x_BilledCostReporting,
    if(category = 'Credit', contract_id, null) as x_CreditId,
    {{ in_currency('EffectiveCost', 'reporting_rate') }} as x_EffectiveCostReporting,
    reporting_rate as x_ExchangeRate,
    reporting_day as x_ExchangeRateDay,
    reporting_currency as x_ReportingCurrency
from reported
{%- endmacro -%}
