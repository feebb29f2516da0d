{{ focus(
    ref('int_spend_rated'),
    ref('stg_list_prices'),
    ref('int_provisioned_usage'),
    ref('int_provisioned_months'),
    ref('int_credit_uses'),
    ref('stg_provider_contracts'),
    ref('stg_tenants'),
    ref('int_exchange_rates_monthly')
) }}
