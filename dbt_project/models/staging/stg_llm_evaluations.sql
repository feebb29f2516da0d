with source as (

    select
        *,
        cohort
    from {{ source('llm', 'llm_evaluations') }} {{ as_they_count() }}

),

renamed as (

    select
        tenant_id,
        trace_id,
        span_id,
        span_timestamp as called_at,
        timestamp as evaluated_at,
        model,
        prompt_template_version,
        task_type,
        cohort,
        evaluator,
        evaluator_version,
        score,
        verdict,
        confidence,
        sampling_rate,
        source as reported_by,
        ingested_at
    from source

)

select * from renamed
