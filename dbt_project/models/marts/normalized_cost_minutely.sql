{{ normalized_cost(ref('llm_kpi_1min'), ref('int_task_complexity')) }}
