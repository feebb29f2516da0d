{{ spend_with_rates(ref('llm_spend_15min'), ref('int_token_rates')) }}
