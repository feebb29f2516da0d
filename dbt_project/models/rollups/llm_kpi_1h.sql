{# The day leads the order, so that one day is read without reading the month. The hour ends it #}
{# in place of the time itself, by which the engine would look in vain rather than by the day. #}
{# Rows are wide, and screens read those of few series: small granules. #}
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(toDate(period_start), tenant_id, model, prompt_template_version, task_type, cohort, toHour(period_start))',
    partition_by='toYYYYMM(period_start)',
    settings={'non_replicated_deduplication_window': 10000, 'index_granularity': 512}
) }}

{{ kpi_rollup(source('llm', 'llm_traces'), 'toStartOfHour') }}
