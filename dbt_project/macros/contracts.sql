{#- The last day that the store's Date knows: of what holds on. -#}
{%- macro no_end() -%}
toDate('2149-06-06')
{%- endmacro -%}

{#- Exact, in whole pico-dollars: shares of money are whole numbers of these. -#}
{%- macro pico(amount) -%}
toInt256(roundBankers(toDecimal256({{ amount }}, 24), 12) * toDecimal256('1000000000000', 0))
{%- endmacro -%}

{#- And back. -#}
{%- macro usd(pico) -%}
toInt128({{ pico }}) * toDecimal128('0.000000000001', 12)
{%- endmacro -%}

{#- The part of `amount` that falls to an interval (`upto` - `size`, `upto`] of (0, `whole`]. Whole numbers: the parts of -#}
{#- intervals that follow on one another add up to the amount, and each is less than one from its exact share. -#}
{%- macro part_of(amount, size, upto, whole) -%}
if(
    {{ whole }} = 0,
    toInt256(0),
    intDiv(({{ amount }}) * ({{ upto }}), {{ whole }}) - intDiv(({{ amount }}) * (({{ upto }}) - ({{ size }})), {{ whole }})
)
{%- endmacro -%}

{#- As one array of tuples: the contracts of a kind in the order in which they are asked. -#}
{%- macro contract_list(contracts, kind, order) -%}
select
    groupArray(tuple(
        contract_id,
        provider,
        model_like,
        tenant_id,
        pricing_tier,
        valid_from,
        valid_before,
        {{ pico('amount_usd') }},
        toInt128(output_weight * 1000000),
        toInt128(cache_read_weight * 1000000)
    )) as list
from (select * from {{ contracts }} where kind = '{{ kind }}' order by {{ order }})
{%- endmacro -%}

{#- Whether the contract `c` of such a list is about a row of spend but for its tier. The model is the one that was asked -#}
{#- for or the one that answered. -#}
{%- macro is_about(c) -%}
{{ c }}.2 = provider
    and (model like {{ c }}.3 or response_model like {{ c }}.3)
    and {{ c }}.4 in ('', tenant_id)
    and day >= {{ c }}.6
    and day < {{ c }}.7
{%- endmacro -%}

{#- Of such a list of capacities the first that serves a row of spend; its id is empty where none does. -#}
{%- macro first_contract(list) -%}
arrayFirst(
    c -> {{ is_about('c') }} and if(c.5 = '', pricing_tier in ('standard', 'provisioned'), pricing_tier = c.5),
    {{ list }}
)
{%- endmacro -%}

{#- Tokens of a row of spend, of every class. -#}
{%- macro all_tokens() -%}
{%- for _, column in token_classes() -%}
{{ column }}{% if not loop.last %} + {% endif %}
{%- endfor -%}
{%- endmacro -%}

{#- Tokens of a row of spend as its capacity counts them. Whole millionths, as the weights are. -#}
{%- macro counted_tokens(contract) -%}
(
    toInt128(
        {%- for class, column in token_classes() if class not in ('cache_read', 'output') -%}
        {{ column }}{% if not loop.last %} + {% endif %}
        {%- endfor -%}
    ) * 1000000
    + cache_read_tokens * {{ contract }}.10
    + completion_tokens * {{ contract }}.9
) * toDecimal128('0.000001', 6)
{%- endmacro -%}

{#- As what a row of spend stands on an invoice: by the model that answered, or the one that was asked for. -#}
{%- macro invoiced_as() -%}
if(
    (provider, response_model) in (select tuple(invoices.provider, invoices.model) from invoices),
    response_model,
    model
)
{%- endmacro -%}
