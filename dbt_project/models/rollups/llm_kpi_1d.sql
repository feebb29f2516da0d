{# Rows are wide, and screens read those of few series: granules of about one series' month. #}
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(tenant_id, model, prompt_template_version, task_type, cohort, period_start)',
    partition_by='toYYYYMM(period_start)',
    settings={'non_replicated_deduplication_window': 10000, 'index_granularity': 64}
) }}

{{ kpi_rollup(source('llm', 'llm_traces'), 'toStartOfDay') }}
