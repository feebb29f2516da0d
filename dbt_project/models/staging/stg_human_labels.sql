with source as (

    select * from {{ source('llm', 'human_labels') }}

),

renamed as (

    select
        tenant_id,
        trace_id,
        rater,
        score as human_score,
        rubric,
        timestamp as labelled_at,
        ingested_at
    from source

)

select * from renamed
