{#- How the classes of tokens are metered, in FOCUS's words. -#}
{%- macro meters() -%}
{{ return([
    ('input', 'uncached_tokens', 'Input Tokens'),
    ('cache_read', 'cache_read_tokens', 'Cached Input Tokens'),
    ('cache_write_5m', 'cache_write_5m_tokens', 'Cache Write Tokens'),
    ('cache_write_1h', 'cache_write_1h_tokens', 'Cache Write Tokens (1 hour)'),
]) }}
{%- endmacro -%}

{#- Charges in the columns of FOCUS 1.2, one row per day, tenant, model, tier and class of tokens. Where the rates are -#}
{#- known, each class costs its tokens times its rate, and output what is left, so that the rows of a day add up to its -#}
{#- cost. Where they are not, one row has it all. Only what has a price is a charge: FOCUS knows no unknown cost. -#}
{%- macro focus(spend, tenants) -%}
with spend as (

    select
        *,
        {%- for class, column, _ in meters() %}
        {{ tokens_at(column, class ~ '_usd') }} as {{ class }}_cost,
        {%- endfor %}
        {%- for class, column, _ in meters() %}
        {{ class }}_cost{% if not loop.last %} + {% endif %}
        {%- endfor %} as prompt_cost
    from {{ spend }}
    where is_priced

),

tenants as (

    select * from {{ tenants }}

),

metered as (

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
                        ('{{ meter }}', {{ column }}, {{ class }}_usd, {{ class }}_cost),
                        {%- endfor %}
                        (
                            'Output Tokens',
                            -- Where nothing was answered, a rest of rounding still has its row.
                            if(cost_usd != prompt_cost, greatest(completion_tokens, 1), completion_tokens),
                            output_usd,
                            cost_usd - prompt_cost
                        )
                    ]
                ),
                [(
                    'Tokens',
                    uncached_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens
                    + completion_tokens,
                    cast(null as Nullable(Decimal(38, 12))),
                    toNullable(cost_usd)
                )]
            )
        ) as item
    from spend

),

charges as (

    select
        metered.*,
        if(metered.provider = '', 'unknown', toString(metered.provider)) as billed_by,
        if(tenants.tenant_id = '', toString(metered.tenant_id), tenants.tenant_name) as sub_account,
        tenants.cost_centre as cost_centre,
        tenants.tier as tier,
        concat(billed_by, '/', metered.model, '/', metered.pricing_tier) as sku
    from metered
    left join tenants on metered.tenant_id = tenants.tenant_id

)

select
    assumeNotNull(item.4) as BilledCost,
    billed_by as BillingAccountId,
    cast(null as Nullable(String)) as BillingAccountName,
    'USD' as BillingCurrency,
    toDateTime(month + interval 1 month, 'UTC') as BillingPeriodEnd,
    toDateTime(month, 'UTC') as BillingPeriodStart,
    'Usage' as ChargeCategory,
    cast(null as Nullable(String)) as ChargeClass,
    concat(item.1, ' of ', model, ', ', pricing_tier, ' tier') as ChargeDescription,
    'Usage-Based' as ChargeFrequency,
    toDateTime(day + 1, 'UTC') as ChargePeriodEnd,
    toDateTime(day, 'UTC') as ChargePeriodStart,
    toDecimal128(item.2, 0) as ConsumedQuantity,
    'Tokens' as ConsumedUnit,
    BilledCost as ContractedCost,
    item.3 as ContractedUnitPrice,
    BilledCost as EffectiveCost,
    billed_by as InvoiceIssuerName,
    BilledCost as ListCost,
    item.3 as ListUnitPrice,
    'Standard' as PricingCategory,
    ConsumedQuantity as PricingQuantity,
    'Tokens' as PricingUnit,
    billed_by as ProviderName,
    billed_by as PublisherName,
    cast(null as Nullable(String)) as RegionId,
    cast(null as Nullable(String)) as RegionName,
    cast(model as String) as ResourceId,
    cast(model as String) as ResourceName,
    'Model' as ResourceType,
    'AI and Machine Learning' as ServiceCategory,
    concat(billed_by, ' API') as ServiceName,
    'Generative AI' as ServiceSubcategory,
    sku as SkuId,
    item.1 as SkuMeter,
    concat(sku, '/', item.1) as SkuPriceId,
    cast(tenant_id as String) as SubAccountId,
    sub_account as SubAccountName,
    toJSONString(map('cost_centre', cost_centre, 'tier', tier)) as Tags
from charges
{%- endmacro -%}
