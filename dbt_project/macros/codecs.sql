{#- The codec of histograms, which are nine tenths of what a rollup takes on disk: half of the bytes of the engine's -#}
{#- default where a row counts 60 calls, a third where it counts 240, and read as fast (`benchmarks/bytes.py`). T64 -#}
{#- keeps the bits in which neighbouring buckets and counts differ. -#}
{%- macro histogram_codec() -%}T64, ZSTD(3){%- endmacro -%}

{#- A hook after a rollup is built. dbt-clickhouse knows codecs of contracted tables alone, which materialized views -#}
{#- are not; and a table that is there already takes a codec on this way, too. -#}
{%- macro compress_histograms() -%}
{%- if execute -%}
{%- set found = run_query(
    "select name from system.columns where database = '" ~ this.schema ~ "' and table = '" ~ this.identifier
    ~ "' and endsWith(name, '_histogram') and compression_codec != 'CODEC(" ~ histogram_codec() ~ ")'"
) -%}
{%- if found.rows -%}
alter table {{ this }} {{ on_cluster_clause(this) }}
{%- for row in found.rows %}
modify column {{ row[0] }} codec({{ histogram_codec() }}){% if not loop.last %},{% endif %}
{%- endfor %}
{%- endif -%}
{%- endif -%}
{%- endmacro -%}
