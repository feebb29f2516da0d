{# The hour before the names, so that the last hour is read without reading the month; `llm_kpi_1min` says #}
{# why the minute ends the order. Rows are wide, and screens read few of them: small granules. #}
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(grain, dimension, toStartOfHour(period_start), cohort, tenant_id, model, prompt_template_version, toMinute(period_start))',
    partition_by='toYYYYMM(period_start)',
    ttl="retention_start + interval " ~ var('minute_rollup_days') ~ " day delete where grain = '1min'",
    settings={'non_replicated_deduplication_window': 10000, 'index_granularity': 512}
) }}

{{ kpi_rollup(source('llm', 'llm_traces'), expires=true) }}
