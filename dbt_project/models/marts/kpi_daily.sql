{{ finalised_kpis(ref('llm_kpi_1d'), ref('llm_quality_1d'), ref('llm_quality_1d')) }}
