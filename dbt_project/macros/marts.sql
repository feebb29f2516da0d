{#- One row per period and series with the aggregate states finalised: the same columns at every grain. Which -#}
{#- evaluator speaks for quality is decided by the day (`daily_quality`), so that all grains say the same. -#}
{%- macro finalised_kpis(kpi, quality, daily_quality) -%}
with evaluators as (

    select
        toDate(period_start) as day,
        tenant_id,
        evaluator,
        evaluator_version,
        sum(daily.evaluation_count) as scores,
        sum(daily.unknown_count) as unknown
    from {{ daily_quality }} as daily
    group by day, tenant_id, evaluator, evaluator_version
    having scores > 0 or unknown > 0

),

-- Scores of different evaluators, or versions, are never mixed: one of them speaks for a tenant's day.
primary_evaluators as (

    select
        day,
        tenant_id,
        argMax(
            (evaluator, evaluator_version),
            (scores > 0, evaluator = '{{ var("primary_evaluator") }}', scores, unknown, evaluator_version)
        ) as chosen
    from evaluators
    group by day, tenant_id

),

calls as (

    select
        period_start,
        {{ series() }},
        {%- for name in kpi_sums() %}
        sum({{ kpi }}.{{ name }}) as sum_{{ name }},
        {%- endfor %}
        {%- for name in kpi_histograms() %}
        sumMap({{ name }}) as sum_{{ name }}{% if not loop.last %},{% endif %}
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
        sumMap(score_histogram) as sum_score_histogram,
        any(evaluator) as sum_evaluator,
        any(evaluator_version) as sum_evaluator_version
    from {{ quality }}
    where
        (toDate(period_start), tenant_id, (evaluator, evaluator_version))
        in (select tuple(day, tenant_id, chosen) from primary_evaluators)
    group by period_start, {{ series() }}

),

-- Full outer: a score may be stored before the minute of its call is, and is not lost for that.
joined as (

    select
        *,
        -- Which side of the join is there; the join fills the other with defaults.
        calls.sum_request_count > 0 as has_calls,
        judged.sum_evaluation_count > 0 as has_scores
    from calls
    full outer join judged using (period_start, {{ series() }})
    -- What corrections took away whole leaves rows of zeros behind.
    where calls.sum_request_count != 0 or judged.sum_evaluation_count != 0 or judged.sum_unknown_count != 0

),

finalised as (

    select
        period_start,
        {{ series() }},
        {%- for name in kpi_sums() %}
        {%- if name == 'cost_usd' %}
        -- What lost its price in a correction is unknown again, not free.
        if(sum_priced_count > 0, sum_cost_usd, null) as cost_usd,
        {%- else %}
        sum_{{ name }} as {{ name }},
        {%- endif %}
        {%- endfor %}
        {%- for histogram, unit in [
            ('cost_histogram', 'cost_%s_usd'), ('latency_histogram', 'latency_%s_ms'),
            ('ttft_histogram', 'ttft_%s_ms'), ('velocity_histogram', 'token_velocity_%s'),
            ('completion_ratio_histogram', 'completion_ratio_%s')
        ] %}
        {%- for quantile, level in [('p50', 0.5), ('p95', 0.95), ('p99', 0.99)] %}
        assay_quantile(sum_{{ histogram }}, {{ level }}) as {{ unit % quantile }},
        {%- endfor %}
        {%- endfor %}
        {{ completion_ratio('sum_completion_tokens', 'sum_prompt_tokens') }} as completion_ratio,
        {{ cache_hit_rate('sum_cached_tokens', 'sum_cacheable_prompt_tokens') }} as cache_hit_rate,
        sum_evaluation_count as evaluation_count,
        sum_unknown_count as unknown_count,
        if(has_scores, sum_weighted_score / sum_score_weight, null) as quality_mean,
        assay_score_quantile(sum_score_histogram, 0.5) as quality_p50,
        sum_evaluator as quality_evaluator,
        sum_evaluator_version as quality_evaluator_version
    from joined

)

select * from finalised
{%- endmacro -%}
