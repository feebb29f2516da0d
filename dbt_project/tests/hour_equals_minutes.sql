-- An hour is the sum of its minutes.
{{ kpi_sums_agree(ref('llm_kpi_1min'), ref('llm_kpi_1h'), 'toStartOfHour', is_checked_hour) }}
