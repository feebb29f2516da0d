{{ normalized_cost(ref('llm_kpi_1h'), ref('int_task_complexity')) }}
