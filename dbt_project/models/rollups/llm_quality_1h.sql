{# The day leads the order, so that one day is read without reading the month. The hour ends it #}
{# in place of the time itself, by which the engine would look in vain rather than by the day. #}
{{ config(
    materialized='materialized_view',
    engine='AggregatingMergeTree()',
    order_by='(toDate(period_start), tenant_id, model, prompt_template_version, task_type, cohort, evaluator, evaluator_version, toHour(period_start))',
    partition_by='toYYYYMM(period_start)',
    settings={'non_replicated_deduplication_window': 10000}
) }}

{{ quality_rollup(source('llm', 'llm_evaluations'), 'toStartOfHour') }}
