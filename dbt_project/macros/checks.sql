{#- Hours that a test compares: recent ones, of which the raw rows still exist, and closed ones, to which a -#}
{#- running insert does not add while the test reads. -#}
{%- macro is_checked_hour(time) -%}
{{ time }} >= toStartOfDay(now('UTC')) - interval {{ var('rollup_check_days') }} day
and {{ time }} < toStartOfHour(now('UTC') - interval 10 minute)
{%- endmacro -%}

{#- The same for days: today is still open. -#}
{%- macro is_checked_day(time) -%}
{{ time }} >= toStartOfDay(now('UTC')) - interval {{ var('rollup_check_days') }} day
and {{ time }} < toStartOfDay(now('UTC') - interval 10 minute)
{%- endmacro -%}

{#- Whether `estimate` is within 1 % of the value that stands at `level` of the ranks (a billionth is left for the -#}
{#- rounding of the comparison itself). -#}
{%- macro rank_holds(value, estimate, level) -%}
(
    countIf({{ value }} < {{ estimate }} * 0.99 * (1 - 1e-9)) <= {{ level }} * count({{ value }})
    and countIf({{ value }} <= {{ estimate }} * 1.01 * (1 + 1e-9)) >= {{ level }} * count({{ value }})
)
{%- endmacro -%}
