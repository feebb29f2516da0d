{# The day leads the order, so that one day is read without reading the month. #}
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(toDate(period_start), tenant_id, model, prompt_template_version, task_type, cohort, evaluator, evaluator_version, period_start)',
    partition_by='toYYYYMM(period_start)',
    settings={'non_replicated_deduplication_window': 10000}
) }}

{{ quality_rollup(source('llm', 'llm_evaluations'), 'toStartOfHour') }}
