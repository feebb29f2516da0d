{{ spend_with_rates(ref('int_spend_served'), ref('int_token_rates')) }}
