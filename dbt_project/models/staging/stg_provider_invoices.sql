-- Lines replace one another: the newest of a provider, model and period counts.
with source as (

    select * from {{ source('llm', 'provider_invoices') }} {{ as_they_count() }}

),

renamed as (

    select
        provider,
        model,
        period_start,
        period_end,
        amount_usd as invoiced_usd,
        ingested_at
    from source

)

select * from renamed
