with kpis as (

    select * from {{ ref('llm_kpi_1d') }}

),

spend as (

    select * from {{ ref('int_spend_rated') }}

),

-- What a cache read saves beside plain input, over the providers and tiers that a tenant's calls went to.
savings as (

    select
        month,
        tenant_id,
        model,
        sum(spend.uncached_tokens * (spend.input_usd - spend.cache_read_usd))
        / nullIf(sumIf(spend.uncached_tokens, isNotNull(spend.input_usd - spend.cache_read_usd)), 0)
            as saved_per_token_usd
    from spend
    group by month, tenant_id, model

),

by_template as (

    select
        period_start,
        tenant_id,
        model,
        prompt_template_version,
        sum(kpis.request_count) as requests,
        sum(kpis.cacheable_prompt_tokens) as cacheable,
        sum(kpis.cached_tokens) as cached
    from kpis
    group by period_start, tenant_id, model, prompt_template_version

),

finalised as (

    select
        toDate(by_template.period_start) as day,
        by_template.tenant_id as tenant_id,
        by_template.model as model,
        by_template.prompt_template_version as prompt_template_version,
        by_template.requests as request_count,
        by_template.cacheable as cacheable_prompt_tokens,
        if(by_template.cacheable > 0, by_template.cached, null) as cached_tokens,
        {{ cache_hit_rate('by_template.cached', 'by_template.cacheable') }} as cache_hit_rate,
        -- NULL where no call reported its cached tokens: then nobody knows.
        cache_hit_rate < {{ var('cache_hit_rate_floor') }} as is_below_floor,
        if(
            is_below_floor,
            toInt64(ceil({{ var('cache_hit_rate_floor') }} * by_template.cacheable)) - cached_tokens,
            if(isNull(is_below_floor), null, 0)
        ) as missed_cached_tokens,
        if(missed_cached_tokens = 0, toDecimal128(0, 12), missed_cached_tokens * savings.saved_per_token_usd)
            as missed_discount_usd
    from by_template
    left join savings
        on
            toStartOfMonth(by_template.period_start) = savings.month
            and by_template.tenant_id = savings.tenant_id
            and by_template.model = savings.model
    where by_template.requests > 0

)

select * from finalised
