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

{#- Histograms of `llm_kpi_*`: counts by bucket, read with `assay_quantile` (see the numbered schema). -#}
{%- macro kpi_histograms() -%}
{{ return([
    'cost_histogram', 'latency_histogram', 'ttft_histogram', 'velocity_histogram', 'completion_ratio_histogram',
]) }}
{%- endmacro -%}

{%- macro quality_sums() -%}
{{ return(['evaluation_count', 'unknown_count', 'score_weight', 'weighted_score']) }}
{%- endmacro -%}

{#- A coarser rollup from a finer one. `start_of` is the function that gives the start of the coarser period. -#}
{#- Inputs are renamed first: an aggregate aliased to its input's name would be what the next one reads. -#}
{%- macro coarser(finer, start_of, keys, sums, histograms) -%}
with finer as (

    select
        period_start as finer_start,
        {{ keys }},
        {%- for name in sums + histograms %}
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
    {%- for name in histograms %}
    sumMapSimpleState(finer_{{ name }}) as {{ name }}{% if not loop.last %},{% endif %}
    {%- endfor %}
from finer
group by period_start, {{ keys }}
{%- endmacro -%}

{%- macro coarser_kpi(finer, start_of) -%}
{{ coarser(finer, start_of, series(), kpi_sums(), kpi_histograms()) }}
{%- endmacro -%}

{%- macro coarser_quality(finer, start_of) -%}
{{ coarser(
    finer, start_of, series() ~ ', evaluator, evaluator_version', quality_sums(), ['score_histogram']
) }}
{%- endmacro -%}

{#- Counts of one value by bucket; nothing where it is unknown. A correction subtracts with `sign` = -1. -#}
{%- macro histogram_of(value) -%}
sumMapSimpleState(
    if(isNull({{ value }}), map(), map(assay_bucket(assumeNotNull({{ value }})), toInt64(sign)))
)
{%- endmacro -%}
