with source as (

    select * from {{ source('llm', 'end_user_feedback') }}

),

renamed as (

    select
        tenant_id,
        trace_id,
        user_id,
        model,
        prompt_template_version,
        span_timestamp as called_at,
        timestamp as responded_at,
        value as feedback_value,
        -- From -1 (bad) … 1 (good) to the 0 … 1 of every other score.
        (value + 1) / 2 as feedback_score,
        comment,
        ingested_at
    from source

)

select * from renamed
