{{ finalised_kpis(ref('llm_kpi_1min'), ref('llm_quality_1min'), ref('llm_quality_1d')) }}
