{#- What the screen "Efficiency" shows, computed once for everybody who looks: the marts that it is of -#}
{#- read raw rows and recover rates. The formulas are theirs; here they stand one under the other. -#}
{%- set kinds = {
    'cost': {
        'of': ref('normalized_cost_daily'),
        'day': 'toDate(period_start)',
        'by': ['tenant_id', 'model', 'prompt_template_version', 'task_type', 'cohort'],
        'figures': [
            'request_count', 'priced_count', 'cost_usd', 'task_complexity', 'complexity_source', 'complexity_scale',
            'complexity_samples', 'normalized_cost_usd',
        ],
    },
    'cache': {
        'of': ref('cache_efficiency'),
        'by': ['tenant_id', 'model', 'prompt_template_version'],
        'figures': [
            'cacheable_prompt_tokens', 'cached_tokens', 'missed_discount_usd', 'missed_discount_source',
        ],
    },
    'completion': {
        'of': ref('completion_ratio_daily'),
        'by': ['tenant_id', 'prompt_template_version'],
        'figures': [
            'prompt_tokens', 'completion_tokens', 'completion_ratio', 'trailing_median', 'is_verbosity_spike',
            'is_truncation_drop', 'length_finish_share',
        ],
    },
    'outcomes': {
        'of': ref('outcome_rates_daily'),
        'by': ['tenant_id', 'model', 'prompt_template_version'],
        'figures': ['trace_count', 'converted_count', 'escalated_count'],
        'renamed': {'trace_cost_usd': 'cost_usd'},
    },
    'sessions': {
        'of': ref('session_costs_daily'),
        'by': ['tenant_id'],
        'figures': ['session_count', 'priced_session_count', 'cost_per_session_usd'],
    },
} -%}
{%- set texts = ['complexity_source', 'complexity_scale', 'missed_discount_source'] -%}
{{ config(
    materialized='table',
    engine='MergeTree()',
    order_by='(kind, day, tenant_id, prompt_template_version, model, task_type, cohort)'
) }}

{{ one_under_the_other(kinds, texts, var('efficiency_days')) }}
