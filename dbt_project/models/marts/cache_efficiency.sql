with kpis as (

    select * from {{ ref('llm_kpi_1d') }}

),

spend as (

    select * from {{ ref('int_spend_rated') }}

),

list_prices as (

    select * from {{ ref('stg_list_prices') }}

),

-- Of the shortest prompts: no long ones are assumed. From each first day of a price, with what held before it
-- of the other: a list may change one of the two.
prices as (

    select
        provider,
        model,
        response_model,
        pricing_tier,
        valid_from,
        argMaxIf(list_prices.price_usd, list_prices.valid_from, token_class = 'input') over upto as input_usd,
        argMaxIf(list_prices.price_usd, list_prices.valid_from, token_class = 'cache_read') over upto
            as cache_read_usd,
        countIf(token_class = 'input') over upto as input_prices,
        countIf(token_class = 'cache_read') over upto as cache_read_prices
    from list_prices
    where above_tokens = 0 and token_class in ('input', 'cache_read')
    window upto as (
        partition by provider, model, response_model, pricing_tier
        order by valid_from asc
        range between unbounded preceding and current row
    )

),

-- What a cache read saves by the price list.
listed as (

    select distinct
        provider,
        model,
        response_model,
        pricing_tier,
        valid_from,
        (prices.input_usd - prices.cache_read_usd) / 1000000 as listed_saving_usd
    from prices
    where input_prices > 0 and cache_read_prices > 0

),

-- By what the month's calls were charged; where no call read from the cache, nobody was charged for a read,
-- and the list says what it costs.
savings_by_spend as (

    select
        spend.month as month,
        spend.tenant_id as tenant_id,
        spend.model as model,
        spend.uncached_tokens as uncached_tokens,
        spend.input_usd - spend.cache_read_usd as charged_saving_usd,
        if(listed.provider = '', null, toNullable(listed.listed_saving_usd)) as listed_saving_usd,
        ifNull(charged_saving_usd, listed_saving_usd) as saving_usd
    from spend
    asof left join listed
        on
            spend.provider = listed.provider
            and spend.model = listed.model
            and spend.response_model = listed.response_model
            and spend.pricing_tier = listed.pricing_tier
            and spend.day >= listed.valid_from
    where spend.is_priced

),

-- Over the providers and tiers that a tenant's calls went to.
savings as (

    select
        month,
        tenant_id,
        model,
        sum(savings_by_spend.uncached_tokens * savings_by_spend.saving_usd)
        / nullIf(sumIf(savings_by_spend.uncached_tokens, isNotNull(savings_by_spend.saving_usd)), 0)
            as saved_per_token_usd,
        multiIf(
            isNull(saved_per_token_usd), '',
            countIf(isNotNull(charged_saving_usd)) = 0, 'list',
            countIf(isNull(charged_saving_usd) and isNotNull(listed_saving_usd)) = 0, 'calls',
            'calls and list'
        ) as price_source
    from savings_by_spend
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
            as missed_discount_usd,
        if(is_below_floor, savings.price_source, '') as missed_discount_source
    from by_template
    left join savings
        on
            toStartOfMonth(by_template.period_start) = savings.month
            and by_template.tenant_id = savings.tenant_id
            and by_template.model = savings.model
    where by_template.requests > 0

)

select * from finalised
