with source as (

    select * from {{ source('llm', 'task_times') }} {{ as_they_count() }}

),

renamed as (

    select
        task_type,
        human_minutes,
        source as measured_by,
        timestamp as measured_at,
        ingested_at
    from source

)

select * from renamed
