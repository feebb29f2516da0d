{#- How a rollup is stored: the codec of its histograms, and after how many seconds its parts are merged to one (0: when -#}
{#- the engine sees a gain in it). -#}

{#- Histograms are nine tenths of what a rollup takes on disk: half of the bytes of the engine's default where a row -#}
{#- counts 60 calls, a third where it counts 240, and read as fast (`benchmarks/bytes.py`). T64 keeps the bits in which -#}
{#- neighbouring buckets and counts differ. Of the days, ranges of months are read, and there are few: without ZSTD they -#}
{#- take half as much again, and two thirds of the time. -#}

{#- The engine leaves parts of a size alone, and with ten parts a month, a range of weeks takes more than twice the time -#}
{#- of one part. Merging the running month anew costs seconds where it is hours and days, too much where it is minutes. -#}
{%- macro storage() -%}
{%- if this.identifier.endswith('_1d') -%}
{{ return({'codec': 'T64', 'merged_after_s': 3600}) }}
{%- elif this.identifier.endswith('_1h') or this.identifier.endswith('_cubes') -%}
{{ return({'codec': 'T64, ZSTD(3)', 'merged_after_s': 6 * 3600}) }}
{%- else -%}
{{ return({'codec': 'T64, ZSTD(3)', 'merged_after_s': 0}) }}
{%- endif -%}
{%- endmacro -%}

{#- A hook after a rollup is built. dbt-clickhouse knows codecs of contracted tables alone, which materialized views -#}
{#- are not; and a table that is there already is stored this way from now on, too. -#}
{%- macro compress_histograms() -%}
{%- if execute -%}
{%- set codec = storage().codec -%}
{%- set found = run_query(
    "select name from system.columns where database = '" ~ this.schema ~ "' and table = '" ~ this.identifier
    ~ "' and endsWith(name, '_histogram') and compression_codec != 'CODEC(" ~ codec ~ ")'"
) -%}
{%- if found.rows -%}
alter table {{ this }} {{ on_cluster_clause(this) }}
{%- for row in found.rows %}
modify column {{ row[0] }} codec({{ codec }}){% if not loop.last %},{% endif %}
{%- endfor %}
{%- endif -%}
{%- endif -%}
{%- endmacro -%}

{#- As `compress_histograms`. -#}
{%- macro merge_to_one() -%}
{%- if execute -%}
{%- set setting = "min_age_to_force_merge_seconds = " ~ storage().merged_after_s -%}
{%- set found = run_query(
    "select 1 from system.tables where database = '" ~ this.schema ~ "' and name = '" ~ this.identifier
    ~ "' and position(engine_full, '" ~ setting ~ "') = 0"
) -%}
{%- if storage().merged_after_s and found.rows -%}
alter table {{ this }} {{ on_cluster_clause(this) }} modify setting {{ setting }}
{%- endif -%}
{%- endif -%}
{%- endmacro -%}
