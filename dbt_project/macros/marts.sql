{#- One row per period and series with the aggregate states finalised: the same columns at every grain. -#}
{%- macro finalised_kpis(kpi, quality) -%}
with calls as (

    select
        period_start,
        {{ series() }},
        {%- for name in kpi_sums() %}
        sum({{ kpi }}.{{ name }}) as sum_{{ name }},
        {%- endfor %}
        {%- for name in kpi_states() %}
        quantilesTDigestMerge(0.5, 0.95, 0.99)({{ name }}) as {{ name }}_values{% if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ kpi }}
    group by period_start, {{ series() }}

),

judged as (

    select
        period_start,
        {{ series() }},
        sum({{ quality }}.evaluation_count) as sum_evaluation_count,
        sum({{ quality }}.unknown_count) as sum_unknown_count,
        sum({{ quality }}.score_weight) as sum_score_weight,
        sum({{ quality }}.weighted_score) as sum_weighted_score,
        quantilesTDigestWeightedMerge(0.05, 0.5, 0.95)(score_quantiles) as score_values
    from {{ quality }}
    group by period_start, {{ series() }}

),

-- Full outer: a score may be stored before the minute of its call is, and is not lost for that.
joined as (

    select
        *,
        -- Which side of the join is there; the join fills the other with defaults.
        calls.sum_request_count > 0 as has_calls,
        judged.sum_score_weight > 0 as has_scores
    from calls
    full outer join judged using (period_start, {{ series() }})

),

finalised as (

    select
        period_start,
        {{ series() }},
        {%- for name in kpi_sums() %}
        sum_{{ name }} as {{ name }},
        {%- endfor %}
        {%- for state, unit in [
            ('cost_quantiles', 'cost_%s_usd'), ('latency_quantiles', 'latency_%s_ms'),
            ('ttft_quantiles', 'ttft_%s_ms'), ('velocity_quantiles', 'token_velocity_%s'),
            ('completion_ratio_quantiles', 'completion_ratio_%s')
        ] %}
        {%- for quantile in ['p50', 'p95', 'p99'] %}
        if(has_calls, {{ known(state ~ '_values[' ~ loop.index ~ ']') }}, null) as {{ unit % quantile }},
        {%- endfor %}
        {%- endfor %}
        if(has_calls and sum_prompt_tokens > 0, sum_completion_tokens / sum_prompt_tokens, null) as completion_ratio,
        if(
            has_calls and sum_cacheable_prompt_tokens > 0, sum_cached_tokens / sum_cacheable_prompt_tokens, null
        ) as cache_hit_rate,
        sum_evaluation_count as evaluation_count,
        sum_unknown_count as unknown_count,
        if(has_scores, sum_weighted_score / sum_score_weight, null) as quality_mean,
        if(has_scores, {{ known('score_values[2]') }}, null) as quality_p50
    from joined

)

select * from finalised
{%- endmacro -%}

{#- A percentile of nothing is NaN in ClickHouse; here what is not known is NULL. -#}
{%- macro known(expression) -%}
if(isNaN(ifNull(toFloat64({{ expression }}), nan)), null, toFloat64({{ expression }}))
{%- endmacro -%}
