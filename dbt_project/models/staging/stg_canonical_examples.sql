with source as (

    select * from {{ source('llm', 'canonical_examples') }} final

),

renamed as (

    select
        task_type,
        text,
        complexity,
        ingested_at
    from source

)

select * from renamed
