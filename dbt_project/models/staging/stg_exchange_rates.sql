-- Entries replace one another: the newest of a currency and day counts.
with source as (

    select * from {{ source('llm', 'exchange_rates') }} {{ as_they_count() }}

),

renamed as (

    select
        cast(currency as String) as currency,
        day,
        rate,
        source as noted_source,
        ingested_at
    from source

)

select * from renamed
