{{ token_rates(ref('llm_spend_15min')) }}
