-- A day is the sum of its hours.
{{ kpi_sums_agree(ref('llm_kpi_1h'), ref('llm_kpi_1d'), 'toStartOfDay', is_checked_day) }}
