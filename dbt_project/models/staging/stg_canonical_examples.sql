with source as (

    select * from {{ source('llm', 'canonical_examples') }} {{ as_they_count() }}

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
