-- What months, invoices and charges are added up from is the sum of the raw rows, to the last picodollar.
with raw as (

    select
        toStartOfHour(called_at) as hour,
        tenant_id,
        provider,
        model,
        pricing_tier,
        count() as requests,
        sum(prompt_tokens) as prompt,
        sum(completion_tokens) as completion,
        sum(ifNull(cached_tokens, 0)) as cached,
        sum(ifNull(cost_usd, 0)) as cost
    from {{ ref('stg_llm_traces') }}
    where is_billed and {{ is_checked_hour('called_at') }}
    group by hour, tenant_id, provider, model, pricing_tier

),

rolled as (

    select
        toStartOfHour(period_start) as hour,
        tenant_id,
        {{ provider_name('spend.provider') }} as provider,
        model,
        pricing_tier,
        sum(spend.request_count) as requests,
        sum(
            spend.uncached_tokens
            + spend.cache_read_tokens
            + spend.cache_write_5m_tokens
            + spend.cache_write_1h_tokens
        ) as prompt,
        sum(spend.completion_tokens) as completion,
        sum(spend.cache_read_tokens) as cached,
        sum(ifNull(spend.cost_usd, 0)) as cost
    from {{ ref('llm_spend_15min') }} as spend
    where {{ is_checked_hour('toStartOfHour(period_start)') }}
    group by hour, tenant_id, provider, model, pricing_tier
    -- What corrections took away whole leaves rows of zeros behind.
    having requests != 0 or prompt != 0 or cost != 0

)

select
    hour,
    tenant_id,
    provider,
    model,
    pricing_tier,
    raw.requests as raw_requests,
    rolled.requests as rolled_requests
from raw
full outer join rolled using (hour, tenant_id, provider, model, pricing_tier)
where
    (raw.requests, raw.prompt, raw.completion, raw.cached)
    != (rolled.requests, rolled.prompt, rolled.completion, rolled.cached)
    or raw.cost != rolled.cost
