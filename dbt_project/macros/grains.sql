{#- Sums of `llm_quality_*`; the second pair in floating point, so that their order may show in the last digits. -#}
{%- macro quality_counts() -%}{{ return(['evaluation_count', 'unknown_count']) }}{%- endmacro -%}
{%- macro quality_weights() -%}{{ return(['score_weight', 'weighted_score']) }}{%- endmacro -%}

{#- A test that one rollup is the sum of another: rows for every period and group in which a column differs. -#}
{#- `start_of` gives the coarser period of a finer one; `is_checked` is the macro that chooses periods; `counts` are -#}
{#- the columns of which one is not zero where anything is counted: what corrections left at zero, compaction drops. -#}
{#- A NULL sum (unknown) is not a sum of zero. -#}
{%- macro sums_agree(finer, coarser, start_of, is_checked, keys, counts, sums, histograms, floats=[]) -%}
{%- set columns = counts + sums + histograms + floats -%}
{%- set sides = [('finer', finer, start_of ~ '(period_start)'), ('coarser', coarser, 'period_start')] -%}
{%- for side, relation, period in sides -%}
{% if loop.first %}with {% endif %}{{ side }} as (

    select
        {{ period }} as period,
        {%- for key in keys %}
        {{ key }},
        {%- endfor %}
        {%- for name in columns %}
        {{ 'sumMap' if name in histograms else 'sum' }}(rolled.{{ name }}) as sum_{{ name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ relation }} as rolled
    where {{ is_checked(period) }}
    group by period, {{ keys | join(', ') }}
    having {% for name in counts %}sum_{{ name }} != 0{% if not loop.last %} or {% endif %}{% endfor %}

){% if not loop.last %},
{% endif %}
{%- endfor %}

select
    period,
    {%- for key in keys %}
    {{ key }},
    {%- endfor %}
    {%- for name in counts %}
    finer.sum_{{ name }} as finer_{{ name }},
    coarser.sum_{{ name }} as coarser_{{ name }}{% if not loop.last %},{% endif %}
    {%- endfor %}
from finer
full outer join coarser using (period, {{ keys | join(', ') }})
where
    false
    {%- for name in counts + sums %}
    or isNull(finer.sum_{{ name }}) != isNull(coarser.sum_{{ name }})
    or ifNull(finer.sum_{{ name }} != coarser.sum_{{ name }}, false)
    {%- endfor %}
    {%- for name in histograms %}
    or finer.sum_{{ name }} != coarser.sum_{{ name }}
    {%- endfor %}
    {%- for name in floats %}
    or abs(finer.sum_{{ name }} - coarser.sum_{{ name }}) > 1e-9 * abs(finer.sum_{{ name }})
    {%- endfor %}
{%- endmacro -%}

{%- macro kpi_sums_agree(finer, coarser, start_of, is_checked) -%}
{{ sums_agree(
    finer, coarser, start_of, is_checked, ['tenant_id', 'cohort'],
    counts=['request_count'], sums=kpi_sums()[1:], histograms=kpi_histograms()
) }}
{%- endmacro -%}

{%- macro quality_sums_agree(finer, coarser, start_of, is_checked) -%}
{{ sums_agree(
    finer, coarser, start_of, is_checked, ['tenant_id', 'cohort', 'evaluator', 'evaluator_version'],
    counts=quality_counts(), sums=[], histograms=['score_histogram'], floats=quality_weights()
) }}
{%- endmacro -%}
