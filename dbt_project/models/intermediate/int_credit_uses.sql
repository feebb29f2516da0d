{{ credit_uses(ref('stg_provider_contracts'), ref('int_spend_served')) }}
