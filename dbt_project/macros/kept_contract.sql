{#- A hook before a rollup is built: what its query gives is what its YAML says, by name and type. dbt-clickhouse looks -#}
{#- when it creates the table of a materialized view, and never again, but a rollup is created once and kept. -#}
{%- macro keep_contract() -%}
{%- if execute and config.get('contract').enforced -%}
{%- do get_assert_columns_equivalent(sql) -%}
{%- endif -%}
{%- endmacro -%}
