-- An hour of scores is the sum of its minutes.
{{ quality_sums_agree(ref('llm_quality_1min'), ref('llm_quality_1h'), 'toStartOfHour', is_checked_hour) }}
