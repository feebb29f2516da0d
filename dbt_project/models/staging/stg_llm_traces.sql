-- One row per call, corrections applied: for what the rollups cannot answer, by trace, user or session.
with source as (

    select
        *,
        cohort
    from {{ source('llm', 'llm_traces') }} {{ as_they_count() }}

),

renamed as (

    select
        tenant_id,
        trace_id,
        span_id,
        parent_span_id,
        session_id,
        user_id,
        timestamp as called_at,
        model,
        response_model,
        response_id,
        {{ provider_name('source.provider') }} as provider,
        pricing_tier,
        prompt_template_version,
        task_type,
        cohort,
        experiment_id,
        experiment_variant,
        environment,
        status,
        error_type,
        finish_reason,
        prompt_tokens,
        completion_tokens,
        cached_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        reasoning_tokens,
        billed as is_billed,
        unbilled_reason,
        cost_usd,
        cost_status,
        cost_reason,
        price_source,
        reported_cost_usd,
        latency_ms,
        ttft_ms,
        source as reported_by,
        ingested_at
    from source

)

select * from renamed
