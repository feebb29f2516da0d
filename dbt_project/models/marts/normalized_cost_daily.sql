{{ normalized_cost(ref('llm_kpi_1d'), ref('int_task_complexity')) }}
