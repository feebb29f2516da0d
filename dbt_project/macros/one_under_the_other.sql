{#- Rows of several daily marts in one table. Each figure has a value in rows of one kind alone, so that a sum over any -#}
{#- rows is that of its kind. -#}

{#- `kinds`: by name, the relation (`of`), the dimensions that it has (`by`), its figures, those under another name -#}
{#- (`renamed`: new to old), and the expression of its day where it has none. `texts`: figures that are empty where -#}
{#- others are NULL. -#}
{%- macro one_under_the_other(kinds, texts, days) -%}
with
{%- for kind, part in kinds.items() %}

{{ kind }}_rows as (

    select * from {{ part.of }}

){% if not loop.last %},{% endif %}
{%- endfor %}
{% for kind, part in kinds.items() %}
{%- set source = kind ~ '_rows' %}
{%- if not loop.first %}
union all
{% endif %}
select
    '{{ kind }}' as kind,
    {{ part.day | default(source ~ '.day') }} as day,
    {%- for name in ['tenant_id', 'model', 'prompt_template_version', 'task_type', 'cohort'] %}
    cast({% if name in part.by %}{{ source }}.{{ name }}{% else %}''{% endif %} as LowCardinality(String)) as {{ name }},
    {%- endfor %}
    {%- for other, its in kinds.items() %}
    {%- set renamed = its.renamed | default({}) %}
    {%- for name in its.figures + (renamed | list) %}
    {% if other == kind %}{{ source }}.{{ renamed[name] | default(name) }}{% else %}{{ "''" if name in texts else 'null' }}{% endif %} as {{ name }},
    {%- endfor %}
    {%- endfor %}
    now('UTC') as built_at
from {{ source }}
where day > toDate(now('UTC')) - {{ days }}
{% endfor %}
{%- endmacro -%}
