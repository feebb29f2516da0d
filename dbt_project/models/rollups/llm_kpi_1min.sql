{# The hour leads the order, so that the last hour is read without reading the month. #}
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(toStartOfHour(period_start), tenant_id, model, prompt_template_version, task_type, cohort, period_start)',
    partition_by='toYYYYMM(period_start)',
    ttl='retention_start + interval ' ~ var('minute_rollup_days') ~ ' day',
    settings={'non_replicated_deduplication_window': 10000}
) }}

with traces as (

    -- Read from the table itself: a view in between would not trigger on inserts.
    select
        *,
        cohort,
        -- Streaming time is what follows the first token, where that is known.
        (latency_ms - ifNull(ttft_ms, 0)) / 1000 as streaming_seconds,
        if(streaming_seconds > 0, completion_tokens / streaming_seconds, null) as token_velocity,
        if(prompt_tokens > 0, completion_tokens / prompt_tokens, null) as completion_ratio
    from {{ source('llm', 'llm_traces') }}
    -- A parent that repeats the usage of its children is kept, and never counted.
    where billed

)

select
    toStartOfMinute(timestamp) as period_start,
    {{ series() }},
    sumSimpleState(toInt64(sign)) as request_count,
    sumSimpleState(toInt64(sign * (status = 'error'))) as error_count,
    sumSimpleState(toInt64(sign * (status = 'aborted'))) as aborted_count,
    sumSimpleState(toInt64(sign * (cost_status != 'unpriced'))) as priced_count,
    sumSimpleState(toInt64(sign * (cost_status = 'unpriced'))) as unpriced_count,
    sumSimpleState(sign * traces.cost_usd) as cost_usd,
    sumSimpleState(sign * traces.reported_cost_usd) as reported_cost_usd,
    sumSimpleState(sign * toInt64(traces.prompt_tokens)) as prompt_tokens,
    sumSimpleState(sign * toInt64(traces.completion_tokens)) as completion_tokens,
    sumSimpleState(sign * toInt64(traces.cached_tokens)) as cached_tokens,
    sumSimpleState(sign * toInt64(traces.cache_write_tokens)) as cache_write_tokens,
    sumSimpleState(sign * toInt64(traces.reasoning_tokens)) as reasoning_tokens,
    sumSimpleState(if(isNull(traces.cached_tokens), 0, sign * toInt64(traces.prompt_tokens)))
        as cacheable_prompt_tokens,
    {{ histogram_of('toFloat64(traces.cost_usd)') }} as cost_histogram,
    {{ histogram_of('traces.latency_ms') }} as latency_histogram,
    {{ histogram_of('traces.ttft_ms') }} as ttft_histogram,
    {{ histogram_of('traces.token_velocity') }} as velocity_histogram,
    {{ histogram_of('traces.completion_ratio') }} as completion_ratio_histogram,
    -- From when its retention counts: live, the day of the call; history, the day on which it was loaded.
    maxSimpleState(greatest(traces.retention_start, toDate(timestamp))) as retention_start
from traces
group by period_start, {{ series() }}
