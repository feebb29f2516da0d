{#- An amount of US dollars in a currency, half to even at the last of 12 places: NULL where there is no rate. The product -#}
{#- of two Decimal(38, 12) has 24 places and may have 36 digits before them, so it is taken in 256 bits. -#}
{%- macro in_currency(amount, rate) -%}
toDecimal128(roundBankers(toDecimal256({{ amount }}, 12) * toDecimal256({{ rate }}, 12), 12), 12)
{%- endmacro -%}

{#- What a tenant reads its amounts in; of what no tenant has, `reporting_currency`. -#}
{%- macro currency_of(tenant) -%}
if({{ tenant }} = '', '{{ var("reporting_currency") }}', toString({{ tenant }}))
{%- endmacro -%}

{#- The rate of a joined `int_exchange_rates_monthly`: a US dollar is one; else NULL where the month has none. -#}
{%- macro rate_of(currency, rates) -%}
if({{ currency }} = 'USD', toNullable(toDecimal128(1, 12)), nullIf({{ rates }}.exchange_rate, 0))
{%- endmacro -%}

{#- Its day; NULL for US dollars, which are not converted. -#}
{%- macro rate_day_of(currency, rates) -%}
if({{ currency }} = 'USD' or {{ rates }}.exchange_rate = 0, null, toNullable({{ rates }}.exchange_rate_day))
{%- endmacro -%}

{#- A tenant's time zone: UTC where none is entered or it does not exist. -#}
{%- macro zone_of(time_zone) -%}
if({{ time_zone }} in (select zones.time_zone from system.time_zones as zones), toString({{ time_zone }}), 'UTC')
{%- endmacro -%}
