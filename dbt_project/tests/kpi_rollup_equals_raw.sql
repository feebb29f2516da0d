-- Sums of the hourly rollup are the sums of the raw rows, to the last token and the last picodollar.
with raw as (

    select
        toStartOfHour(called_at) as hour,
        tenant_id,
        model,
        prompt_template_version,
        task_type,
        cohort,
        count() as requests,
        countIf(status = 'error') as errors,
        countIf(cost_status = 'unpriced') as unpriced,
        sum(prompt_tokens) as prompt,
        sum(completion_tokens) as completion,
        sum(ifNull(cached_tokens, 0)) as cached,
        sum(ifNull(cost_usd, 0)) as cost
    from {{ ref('stg_llm_traces') }}
    where is_billed and {{ is_checked_hour('called_at') }}
    group by hour, {{ series() }}

),

rolled as (

    select
        period_start as hour,
        tenant_id,
        model,
        prompt_template_version,
        task_type,
        cohort,
        sum(kpis.request_count) as requests,
        sum(kpis.error_count) as errors,
        sum(kpis.unpriced_count) as unpriced,
        sum(kpis.prompt_tokens) as prompt,
        sum(kpis.completion_tokens) as completion,
        sum(ifNull(kpis.cached_tokens, 0)) as cached,
        sum(ifNull(kpis.cost_usd, 0)) as cost
    from {{ ref('llm_kpi_1h') }} as kpis
    where {{ is_checked_hour('period_start') }}
    group by hour, {{ series() }}
    -- What corrections took away whole leaves rows of zeros behind.
    having requests != 0 or prompt != 0 or cost != 0

)

select
    hour,
    {{ series() }},
    raw.requests as raw_requests,
    rolled.requests as rolled_requests
from raw
full outer join rolled using (hour, {{ series() }})
where
    (raw.requests, raw.errors, raw.unpriced, raw.prompt, raw.completion, raw.cached)
    != (rolled.requests, rolled.errors, rolled.unpriced, rolled.prompt, rolled.completion, rolled.cached)
    or raw.cost != rolled.cost
