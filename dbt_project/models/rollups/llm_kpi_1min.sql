{# The hour leads the order, so that the last hour is read without reading the month. The minute ends it #}
{# in place of the time itself, by which the engine would look in vain rather than by the hour. #}
{# Rows are wide, and screens read those of few series: small granules. #}
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(toStartOfHour(period_start), tenant_id, model, prompt_template_version, task_type, cohort, toMinute(period_start))',
    partition_by='toYYYYMM(period_start)',
    ttl='retention_start + interval ' ~ var('minute_rollup_days') ~ ' day',
    settings={'non_replicated_deduplication_window': 10000, 'index_granularity': 512}
) }}

{{ kpi_rollup(source('llm', 'llm_traces'), 'toStartOfMinute', expires=true) }}
