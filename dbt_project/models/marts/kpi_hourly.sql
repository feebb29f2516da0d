{{ finalised_kpis(ref('llm_kpi_1h'), ref('llm_quality_1h'), ref('llm_quality_1d')) }}
