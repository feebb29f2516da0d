-- A day of scores is the sum of its hours.
{{ quality_sums_agree(ref('llm_quality_1h'), ref('llm_quality_1d'), 'toStartOfDay', is_checked_day) }}
