-- Completion tokens per prompt token by template and day, beside what the template did in the four weeks
-- before: a spike is runaway verbosity, a drop is truncation.
with kpis as (

    select * from {{ ref('llm_kpi_1d') }}

),

calls as (

    select * from {{ ref('stg_llm_traces') }}
    where is_billed and finish_reason != ''

),

finishes as (

    select
        toDate(called_at) as day,
        tenant_id,
        prompt_template_version,
        count() as finishes,
        -- How providers say that the limit of tokens ended the answer.
        countIf(lower(finish_reason) in ('length', 'max_tokens', 'max_output_tokens', 'model_length'))
            as cut_short
    from calls
    group by day, tenant_id, prompt_template_version

),

by_template as (

    select
        toDate(period_start) as day,
        tenant_id,
        prompt_template_version,
        sum(kpis.request_count) as requests,
        sum(kpis.prompt_tokens) as prompt,
        sum(kpis.completion_tokens) as completion,
        {{ completion_ratio('completion', 'prompt') }} as ratio,
        -- Days with a handful of calls say nothing, and are no measure for others.
        requests >= {{ var('completion_flag_min_requests') }} as is_evidence
    from kpis
    group by day, tenant_id, prompt_template_version
    having requests > 0

),

trailing as (

    select
        *,
        {{ median_of('ratio', 'is_evidence') }} over before as usual_ratio,
        countIf(is_evidence and isNotNull(ratio)) over before as usual_days
    from by_template
    window before as (
        partition by tenant_id, prompt_template_version
        order by day asc
        range between 28 preceding and 1 preceding
    )

),

flagged as (

    select
        trailing.day as day,
        trailing.tenant_id as tenant_id,
        trailing.prompt_template_version as prompt_template_version,
        trailing.requests as request_count,
        trailing.prompt as prompt_tokens,
        trailing.completion as completion_tokens,
        trailing.ratio as completion_ratio,
        trailing.usual_days as trailing_days,
        if(trailing.usual_days >= {{ var('completion_flag_min_days') }}, trailing.usual_ratio, null)
            as trailing_median,
        if(trailing.is_evidence, completion_ratio / nullIf(trailing_median, 0), null) as ratio_to_trailing,
        ratio_to_trailing > {{ var('verbosity_spike') }} as is_verbosity_spike,
        ratio_to_trailing < {{ var('truncation_drop') }} as is_truncation_drop,
        if(finishes.finishes > 0, finishes.cut_short / finishes.finishes, null) as length_finish_share
    from trailing
    left join finishes using (day, tenant_id, prompt_template_version)

)

select * from flagged
