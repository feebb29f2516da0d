{# Quarter hours, kept for good: every time zone in use has its midnight on one, so that a tenant's month #}
{# is a sum of whole rows. Who bills, and at which tier, stands beside it; the KPI rollups leave that out. #}
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(tenant_id, provider, model, response_model, pricing_tier, is_priced, period_start)',
    partition_by='toYYYYMM(period_start)',
    settings={'non_replicated_deduplication_window': 10000}
) }}

with traces as (

    -- Read from the table itself: a view in between would not trigger on inserts.
    select
        *,
        toBool(isNotNull(calls.cost_usd)) as is_priced,
        -- What the source does not report is charged as plain input, so zero is what was charged.
        toInt64(ifNull(cached_tokens, 0)) as cache_reads,
        toInt64(ifNull(cache_write_tokens, 0)) as cache_writes,
        toInt64(ifNull(cache_write_1h_tokens, 0)) as cache_writes_1h
    from {{ source('llm', 'llm_traces') }} as calls
    where billed

)

select
    toStartOfFifteenMinutes(timestamp) as period_start,
    tenant_id,
    provider,
    model,
    response_model,
    pricing_tier,
    is_priced,
    sumSimpleState(toInt64(sign)) as request_count,
    sumSimpleState(sign * traces.cost_usd) as cost_usd,
    sumSimpleState(sign * (toInt64(traces.prompt_tokens) - cache_reads - cache_writes)) as uncached_tokens,
    sumSimpleState(sign * cache_reads) as cache_read_tokens,
    sumSimpleState(sign * (cache_writes - cache_writes_1h)) as cache_write_5m_tokens,
    sumSimpleState(sign * cache_writes_1h) as cache_write_1h_tokens,
    sumSimpleState(sign * toInt64(traces.completion_tokens)) as completion_tokens
from traces
group by period_start, tenant_id, provider, model, response_model, pricing_tier, is_priced
