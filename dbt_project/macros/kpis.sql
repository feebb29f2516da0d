{#- Formulas of the KPIs over sums, each written once. What cannot be known is NULL, never 0. -#}

{#- Completion tokens per prompt token: a ratio of sums, so that long calls weigh as much as they are long. -#}
{%- macro completion_ratio(completion_tokens, prompt_tokens) -%}
if({{ prompt_tokens }} > 0, {{ completion_tokens }} / {{ prompt_tokens }}, null)
{%- endmacro -%}

{#- Cached tokens per prompt token, over the calls that reported their cached tokens. -#}
{%- macro cache_hit_rate(cached_tokens, cacheable_prompt_tokens) -%}
if({{ cacheable_prompt_tokens }} > 0, {{ cached_tokens }} / {{ cacheable_prompt_tokens }}, null)
{%- endmacro -%}

{#- The value in the middle; of an even number the mean of the two in the middle (`medianExact` takes the upper one). -#}
{%- macro median_of(value, condition=none) -%}
quantileExactInclusive{% if condition is not none %}If{% endif %}(0.5)({{ value }}{% if condition is not none %}, {{ condition }}{% endif %})
{%- endmacro -%}
