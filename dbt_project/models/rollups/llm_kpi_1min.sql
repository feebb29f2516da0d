{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(tenant_id, model, prompt_template_version, task_type, cohort, period_start)',
    partition_by='toYYYYMM(period_start)',
    ttl='period_start + interval ' ~ var('minute_rollup_days') ~ ' day',
    settings={'non_replicated_deduplication_window': 10000}
) }}

with traces as (

    -- Read from the table itself: a view in between would not trigger on inserts.
    select
        *,
        cohort,
        -- Streaming time is what follows the first token, where that is known.
        (latency_ms - ifNull(ttft_ms, 0)) / 1000 as streaming_seconds
    from {{ source('llm', 'llm_traces') }}
    -- A parent that repeats the usage of its children is kept, and never counted.
    where billed

)

select
    toStartOfMinute(timestamp) as period_start,
    {{ series() }},
    sumSimpleState(toUInt64(1)) as request_count,
    sumSimpleState(toUInt64(status = 'error')) as error_count,
    sumSimpleState(toUInt64(status = 'aborted')) as aborted_count,
    sumSimpleState(toUInt64(cost_status != 'unpriced')) as priced_count,
    sumSimpleState(toUInt64(cost_status = 'unpriced')) as unpriced_count,
    sumSimpleState(traces.cost_usd) as cost_usd,
    sumSimpleState(traces.reported_cost_usd) as reported_cost_usd,
    sumSimpleState(toUInt64(traces.prompt_tokens)) as prompt_tokens,
    sumSimpleState(toUInt64(traces.completion_tokens)) as completion_tokens,
    sumSimpleState(toUInt64(traces.cached_tokens)) as cached_tokens,
    sumSimpleState(toUInt64(traces.cache_write_tokens)) as cache_write_tokens,
    sumSimpleState(toUInt64(traces.reasoning_tokens)) as reasoning_tokens,
    sumSimpleState(if(isNull(traces.cached_tokens), 0, toUInt64(traces.prompt_tokens))) as cacheable_prompt_tokens,
    quantilesTDigestState(0.5, 0.95, 0.99)(toFloat64(traces.cost_usd)) as cost_quantiles,
    quantilesTDigestState(0.5, 0.95, 0.99)(traces.latency_ms) as latency_quantiles,
    quantilesTDigestState(0.5, 0.95, 0.99)(traces.ttft_ms) as ttft_quantiles,
    quantilesTDigestState(0.5, 0.95, 0.99)(
        if(streaming_seconds > 0, traces.completion_tokens / streaming_seconds, null)
    ) as velocity_quantiles,
    quantilesTDigestState(0.5, 0.95, 0.99)(
        if(traces.prompt_tokens > 0, traces.completion_tokens / traces.prompt_tokens, null)
    ) as completion_ratio_quantiles
from traces
group by period_start, {{ series() }}
