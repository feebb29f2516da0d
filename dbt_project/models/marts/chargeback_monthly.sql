{{ chargeback(ref('llm_spend_15min'), ref('stg_tenants')) }}
