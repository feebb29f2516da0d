{#- Classes of tokens that have a rate of their own, and the column of `llm_spend_15min` that counts each. -#}
{%- macro token_classes() -%}
{{ return([
    ('input', 'uncached_tokens'),
    ('cache_read', 'cache_read_tokens'),
    ('cache_write_5m', 'cache_write_5m_tokens'),
    ('cache_write_1h', 'cache_write_1h_tokens'),
    ('output', 'completion_tokens'),
]) }}
{%- endmacro -%}

{#- Tokens at a rate. No tokens cost nothing, whether or not the rate is known; else NULL where it is not. -#}
{%- macro tokens_at(tokens, rate) -%}
if({{ tokens }} = 0, toDecimal128(0, 12), {{ tokens }} * ({{ rate }}))
{%- endmacro -%}

{#- What a row's tokens cost at its rates of that prefix; NULL where one that is needed is not known. -#}
{%- macro cost_at(prefix) -%}
{%- for class, column in token_classes() -%}
{{ tokens_at(column, prefix ~ class ~ '_usd') }}{% if not loop.last %} + {% endif %}
{%- endfor -%}
{%- endmacro -%}

{#- The sum over the rows with `condition`, NULL where one of them is: `sum` alone passes over what is not known. -#}
{%- macro sum_if_all_known(value, condition) -%}
if(countIf({{ condition }} and isNull({{ value }})) = 0, sumIf({{ value }}, {{ condition }}), null)
{%- endmacro -%}
