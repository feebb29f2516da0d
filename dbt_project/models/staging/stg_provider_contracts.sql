-- Entries replace one another: the newest of a contract counts.
with source as (

    select * from {{ source('llm', 'provider_contracts') }} {{ as_they_count() }}

),

renamed as (

    select
        contract_id,
        cast(kind as String) as kind,
        cast(provider as String) as provider,
        cast(model as String) as model,
        -- The same for LIKE: its own signs escaped, then `*` and `?` in its words.
        if(
            model = '',
            '%',
            translate(replaceRegexpAll(cast(model as String), '([\\\\%_])', '\\\\\\1'), '*?', '%_')
        ) as model_like,
        tenant_id,
        cast(pricing_tier as String) as pricing_tier,
        amount_usd,
        cast(per as String) as per,
        units,
        tokens_per_minute,
        output_weight,
        cache_read_weight,
        valid_from,
        valid_to,
        ifNull(valid_to, {{ no_end() }}) as valid_before,
        source as noted_source,
        ingested_at
    from source

)

select * from renamed
