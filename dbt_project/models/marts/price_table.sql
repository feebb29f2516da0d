-- Prices beside the list, as pricing reads them: those of this project and those added at run time.
with committed as (

    select
        *,
        'project' as noted_in
    from {{ ref('price_overrides') }}

),

added as (

    select
        *,
        'run time' as noted_in
    from {{ source('llm', 'price_overrides_added') }}

),

both as (

    select * from committed
    union all
    select * from added

),

final as (

    select
        toString(provider) as provider,
        toString(model) as model,
        tenant_id,
        toString(pricing_tier) as pricing_tier,
        toString(token_class) as token_class,
        price_usd,
        discount_factor,
        valid_from,
        valid_to,
        source,
        noted_at,
        noted_in
    from both

)

select * from final
