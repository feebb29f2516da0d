{{ spend_served(ref('llm_spend_15min'), ref('stg_tenants'), ref('stg_provider_contracts')) }}
