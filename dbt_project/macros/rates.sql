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

{#- One row per kind of calls: of each class of tokens the list prices per token, the newest day first, and of one day those -#}
{#- of the shortest prompts first. -#}
{%- macro list_rates(list_prices) -%}
select
    provider,
    model,
    response_model,
    pricing_tier
    {%- for class in (token_classes() | map('first') | list) + ['reasoning'] %},
    arraySort(
        price -> (-toInt32(price.1), price.2),
        groupArrayIf((valid_from, above_tokens, price_usd / 1000000), token_class = '{{ class }}')
    ) as {{ class }}_listed
    {%- endfor %}
from {{ list_prices }}
group by provider, model, response_model, pricing_tier
{%- endmacro -%}

{#- What the list has a token of a class at on a day (`list_rates`); NULL where it has no price. Of prices that depend -#}
{#- on the length of the prompt the one that was charged, where it is one of them, else that of the shortest. -#}
{%- macro listed_at(class, charged='null') -%}
{%- set held = 'arrayFilter(price -> price.1 <= day, ' ~ class ~ '_listed)' -%}
if(
    empty({{ held }}),
    null,
    if(
        arrayExists(price -> price.1 = {{ held }}[1].1 and price.3 = {{ charged }}, {{ held }}),
        {{ charged }},
        toNullable({{ held }}[1].3)
    )
)
{%- endmacro -%}

{#- The same of completion tokens: of how many of them reasoned is not known, it has to be one price for all. -#}
{%- macro listed_output_at(charged='null') -%}
if(
    not empty(reasoning_listed) and {{ listed_at('reasoning') }} != {{ listed_at('output') }},
    null,
    {{ listed_at('output', charged) }}
)
{%- endmacro -%}
