with kpis as (

    select * from {{ ref('llm_kpi_1d') }}

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
        toDate(period_start) as day,
        tenant_id,
        model,
        prompt_template_version,
        requests as request_count,
        cacheable as cacheable_prompt_tokens,
        if(cacheable > 0, cached, null) as cached_tokens,
        {{ cache_hit_rate('cached', 'cacheable') }} as cache_hit_rate,
        -- NULL where no call reported its cached tokens: then nobody knows.
        cache_hit_rate < {{ var('cache_hit_rate_floor') }} as is_below_floor
    from by_template
    where requests > 0

)

select * from finalised
