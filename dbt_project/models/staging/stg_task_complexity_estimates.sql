with source as (

    select * from {{ source('llm', 'task_complexity_estimates') }}

),

newest as (

    select max(estimated_at) as estimated_at
    from source

),

renamed as (

    select
        task_type,
        embedder,
        complexity,
        complexity_iqr,
        calls as call_count,
        examples as example_count,
        nearest_distance,
        estimated_at
    from source
    where estimated_at in (select newest.estimated_at from newest)

)

select * from renamed
