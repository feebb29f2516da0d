with source as (

    select * from {{ source('llm', 'business_outcomes') }}

),

renamed as (

    select
        tenant_id,
        trace_id,
        user_id,
        event,
        value as outcome_value,
        timestamp as happened_at,
        ingested_at
    from source

)

select * from renamed
