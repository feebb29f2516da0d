{#- The columns of the rollups, written once: minute, hour and day differ in nothing but the period. -#}

{%- macro series() -%}
tenant_id, model, prompt_template_version, task_type, cohort
{%- endmacro -%}

{#- Sums of `llm_kpi_*`: an hour is the sum of its minutes. -#}
{%- macro kpi_sums() -%}
{{ return([
    'request_count', 'error_count', 'aborted_count', 'priced_count', 'unpriced_count',
    'cost_usd', 'reported_cost_usd', 'prompt_tokens', 'completion_tokens',
    'cached_tokens', 'cache_write_tokens', 'reasoning_tokens', 'cacheable_prompt_tokens',
]) }}
{%- endmacro -%}

{#- Quantile states of `llm_kpi_*`. -#}
{%- macro kpi_states() -%}
{{ return([
    'cost_quantiles', 'latency_quantiles', 'ttft_quantiles', 'velocity_quantiles', 'completion_ratio_quantiles',
]) }}
{%- endmacro -%}

{%- macro quality_sums() -%}
{{ return(['evaluation_count', 'unknown_count', 'score_weight', 'weighted_score']) }}
{%- endmacro -%}

{#- A coarser rollup from a finer one. `start_of` is the function that gives the start of the coarser period. -#}
{#- Inputs are renamed first: an aggregate aliased to its input's name would be what the next one reads. -#}
{%- macro coarser(finer, start_of, keys, sums, states, merge) -%}
with finer as (

    select
        period_start as finer_start,
        {{ keys }},
        {%- for name in sums + states %}
        {{ name }} as finer_{{ name }}{% if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ finer }}

)

select
    {{ start_of }}(finer_start) as period_start,
    {{ keys }},
    {%- for name in sums %}
    sumSimpleState(finer_{{ name }}) as {{ name }},
    {%- endfor %}
    {%- for name in states %}
    {{ merge }}(finer_{{ name }}) as {{ name }}{% if not loop.last %},{% endif %}
    {%- endfor %}
from finer
group by period_start, {{ keys }}
{%- endmacro -%}

{%- macro coarser_kpi(finer, start_of) -%}
{{ coarser(finer, start_of, series(), kpi_sums(), kpi_states(), 'quantilesTDigestMergeState(0.5, 0.95, 0.99)') }}
{%- endmacro -%}

{%- macro coarser_quality(finer, start_of) -%}
{{ coarser(
    finer, start_of, series() ~ ', evaluator, evaluator_version', quality_sums(), ['score_quantiles'],
    'quantilesTDigestWeightedMergeState(0.05, 0.5, 0.95)'
) }}
{%- endmacro -%}
