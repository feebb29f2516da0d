-- A kind of calls is noted whole each time: the newest time counts.
with source as (

    select * from {{ source('llm', 'list_prices') }}

),

newest as (

    select
        provider,
        model,
        response_model,
        pricing_tier,
        max(noted_at) as newest_at
    from source
    group by provider, model, response_model, pricing_tier

),

renamed as (

    select
        source.provider as provider,
        source.model as model,
        source.response_model as response_model,
        source.pricing_tier as pricing_tier,
        source.token_class as token_class,
        source.above_tokens as above_tokens,
        source.price_usd as price_usd,
        source.valid_from as valid_from,
        source.source as price_list,
        source.noted_at as noted_at
    from source
    inner join newest
        on
            source.provider = newest.provider
            and source.model = newest.model
            and source.response_model = newest.response_model
            and source.pricing_tier = newest.pricing_tier
            and source.noted_at = newest.newest_at

)

select * from renamed
