{#- Rows as they count: of those with one key the newest, corrections applied. A macro, because a unit test gives rows in -#}
{#- place of the table, of which there is no FINAL, and overrides it with nothing. -#}
{%- macro as_they_count() -%}
final
{%- endmacro -%}
